local skynet = require "skynet"
local CMD = {}

function CMD.prepare(name)
	local left = skynet.call(".hall", "lua", "leave", name)
	return left
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, cmd, ...)
		skynet.retpack(CMD[cmd](...))
	end)
end)
