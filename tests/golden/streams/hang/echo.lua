local skynet = require "skynet"

local command = {}

function command.hang()
	skynet.wait()
end

function command.spin(n)
	for _ = 1, n do skynet.yield() end
	return n
end

function command.late()
	return skynet.response()
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, what, ...)
		skynet.retpack(command[what](...))
	end)
end)
