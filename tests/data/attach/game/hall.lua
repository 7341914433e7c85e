local skynet = require "skynet"
require "skynet.manager"
local queue = require "skynet.queue"
local cs = queue()
local room
local CMD = {}

function CMD.enter(name)
	return cs(function()
		local seat = skynet.call(room, "lua", "join", name)
		return seat
	end)
end

function CMD.leave(name)
	return cs(function() return true end)
end

skynet.start(function()
	room = skynet.newservice("room", skynet.self())
	skynet.name(".hall", skynet.self())
	skynet.dispatch("lua", function(_, _, cmd, ...)
		local f = CMD[cmd]
		skynet.retpack(f(...))
	end)
end)
