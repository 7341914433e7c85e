local skynet = require "skynet"
local queue = require "skynet.queue"
local books, doors = queue(), queue()
local CMD = {}

function CMD.count()
	return books(function()
		return 1
	end)
end

function CMD.seat(room)
	return books(function()
		local seat = skynet.call(room, "lua", "take")
		return seat
	end)
end

local function both(one, other)
	return one(function()
		skynet.sleep(10)
		return other(skynet.now)
	end)
end

function CMD.left()
	return both(books, doors)
end

function CMD.right()
	return both(doors, books)
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, command, ...)
		skynet.retpack(CMD[command](...))
	end)
end)
