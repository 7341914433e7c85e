-- A node that does what a test says: it runs pieces of Lua that come over a connection, and gives what they return.
-- Each piece, and each answer, has its length in front, 4 bytes, little-endian. An answer is packed as messages are:
-- true and the values, or false and the error. The pieces share their globals, so one can leave something for the next.

local skynet = require "skynet"
local socket = require "skynet.socket"
local cluster = require "skynet.cluster"
require "skynet.manager"

local names = setmetatable({ skynet = skynet, cluster = cluster }, { __index = _G })

-- f(1) to f(n), a coroutine each; what they return, when all have ended. In turns: each begins before the next is there.
function names.each(n, f, turns)
	local got, left, me = {}, n, coroutine.running()
	for i = 1, n do
		skynet.fork(function()
			got[i] = f(i)
			left = left - 1
			if left == 0 then skynet.wakeup(me) end
		end)
		if turns then skynet.sleep(0) end
	end
	if left > 0 then skynet.wait() end
	return got
end

local function start(name, ...)
	local handle = skynet.newservice(name, ...)
	skynet.name("." .. name, handle)
	return handle
end

local function run(text)
	local piece, wrong = load(text, "=piece", "t", names)
	if not piece then
		return skynet.packstring(false, wrong)
	end
	return skynet.packstring(pcall(piece))
end

local function serve(fd)
	socket.start(fd)
	while true do
		local size = socket.read(fd, 4)
		local text = size and socket.read(fd, string.unpack("<I4", size))
		if not text then
			return socket.close(fd)
		end
		socket.write(fd, string.pack("<s4", run(text)))
	end
end

skynet.start(function()
	names.echo = start "echo"
	names.start = start
	local console = skynet.getenv "console"
	pcall(skynet.newservice, "debug_console", "127.0.0.1", console)
	socket.start(socket.listen("127.0.0.1", skynet.getenv "port"), serve)
end)
