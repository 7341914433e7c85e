local skynet = require "skynet"

skynet.start(function()
	skynet.dispatch("lua", function(_, source)
		skynet.retpack(skynet.call(source, "lua", "may I?"))
	end)
end)
