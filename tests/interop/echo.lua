-- What the services of the recordings in tests/golden/cluster do, too: it answers in every way a service can.

local skynet = require "skynet"

local notes = {}
local command = {}

function command.ECHO(...)
	skynet.retpack(...)
end

function command.LEN(text)
	skynet.retpack(#text)
end

function command.BIG(count, unit)
	skynet.retpack((unit or "x"):rep(count))
end

function command.SLEEP(ticks, ...)
	skynet.sleep(ticks)
	skynet.retpack(...)
end

function command.ERR(text)
	error(text)
end

function command.NULL()
	skynet.ret()
end

function command.NOTHING()
	skynet.retpack()
end

function command.NOTE(...)
	table.insert(notes, (...))
end

-- What NOTE was told since the last time.
function command.NOTES()
	local told = notes
	notes = {}
	skynet.retpack(told)
end

function command.EXIT()
	skynet.exit()
end

-- It calls whom it is told to, as through a proxy, and hands the answer on.
function command.RELAY(address, ...)
	skynet.retpack(skynet.call(address, "lua", ...))
end

function command.HANG()
	skynet.wait()
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, name, ...)
		if name == nil then
			return skynet.retpack("no command")
		end
		assert(command[name], name)(...)
	end)
end)
