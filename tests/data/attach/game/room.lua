local skynet = require "skynet"
local agent
local CMD = {}

function CMD.join(name)
	local ok = skynet.call(agent, "lua", "prepare", name)
	return ok and 7
end

skynet.start(function()
	agent = skynet.newservice("agent")
	skynet.dispatch("lua", function(_, _, cmd, ...)
		skynet.retpack(CMD[cmd](...))
	end)
end)
