local skynet = require "skynet"
local CMD = {}
local token = {}
function CMD.nap()
	skynet.wait(token)
	return "rested"
end
skynet.start(function()
	skynet.dispatch("lua", function(_, _, cmd, ...)
		skynet.retpack(CMD[cmd](...))
	end)
end)
