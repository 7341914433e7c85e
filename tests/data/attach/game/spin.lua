local skynet = require "skynet"
skynet.start(function()
	skynet.dispatch("lua", function()
		local n = 0
		while true do n = n + 1 end
	end)
end)
