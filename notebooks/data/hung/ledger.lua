local skynet = require "skynet"

skynet.start(function()
	skynet.dispatch("lua", function(_, source, amount)
		local limit = skynet.call(source, "lua", "limit")
		skynet.retpack(math.min(amount, limit))
	end)
end)
