-- The measurements of peer_lite.py, for a real skynet: what to measure comes in the
-- environment (BENCH_METRIC, BENCH_N), the result goes out as a line "RESULT <number>".
-- The same file is the service that answers, the sink, the link of the ring, the idle one.
local skynet = require "skynet"
local socket = require "skynet.socket"
require "skynet.manager"

local role, following = ...
following = tonumber(following)
local BATCH, RING, WARM, MIB = 100, 1000, 10, 1024 * 1024
local bench = {}

local function timed(work, n)
	work(math.max(1, n // WARM))
	local start = os.clock() -- CPU time of the process, as in worker.py
	work(n)
	return (os.clock() - start) * 1e9 / n
end

local function resident()
	collectgarbage()
	local f = assert(io.open "/proc/self/statm")
	local _, pages = f:read("n", "n")
	f:close()
	return pages * 4096
end

local function nothing() end

function bench.call(n)
	local addr = skynet.newservice("bench", "answer")
	return timed(function(n)
		for i = 1, n do
			skynet.call(addr, "lua", i)
		end
	end, n)
end

function bench.send(n)
	local addr = skynet.newservice("bench", "answer")
	return timed(function(n)
		for _ = 1, n // BATCH do
			for i = 1, BATCH do
				skynet.send(addr, "lua", i)
			end
			skynet.yield()
		end
		skynet.call(addr, "lua", 0)
	end, n)
end

function bench.fork(n)
	return timed(function(n)
		for _ = 1, n // BATCH do
			for _ = 1, BATCH do
				skynet.fork(nothing)
			end
			skynet.yield()
		end
	end, n)
end

bench["yield"] = function(n)
	return timed(function(n)
		for _ = 1, n do
			skynet.yield()
		end
	end, n)
end

function bench.wait(n)
	local main = coroutine.running()
	local partner = skynet.fork(function()
		while true do
			skynet.wait()
			skynet.wakeup(main)
		end
	end)
	skynet.yield()
	return timed(function(n)
		for _ = 1, n do
			skynet.wakeup(partner)
			skynet.wait()
		end
	end, n)
end

function bench.ring(n)
	local me = skynet.self()
	local first = me
	for _ = 1, RING - 1 do
		first = skynet.newservice("bench", "link", first)
	end
	skynet.dispatch("lua", function(_, _, hops)
		if hops > 0 then
			skynet.send(first, "lua", hops - 1)
		else
			skynet.wakeup "round"
		end
	end)
	return timed(function(n)
		skynet.send(me, "lua", n)
		skynet.wait "round"
	end, n)
end

function bench.birth(n)
	return timed(function(n)
		for _ = 1, n do
			skynet.newservice("bench", "idle")
		end
	end, n)
end

function bench.parked(n)
	local before = resident()
	for _ = 1, n do
		skynet.fork(function()
			skynet.wait()
		end)
	end
	skynet.yield()
	return (resident() - before) / n
end

function bench.services(n)
	skynet.newservice("bench", "idle")
	local before = resident()
	for _ = 1, n do
		skynet.newservice("bench", "idle")
	end
	return (resident() - before) / n
end

local function serve(accept)
	local id, _, port = socket.listen("127.0.0.1", 0, 4096)
	socket.start(id, function(fd)
		socket.start(fd)
		accept(fd)
		socket.close(fd)
	end)
	return port
end

function bench.echo()
	return serve(function(fd)
		local line = socket.readline(fd)
		while line do
			socket.write(fd, line .. "\n")
			line = socket.readline(fd)
		end
	end)
end

bench.idle = bench.echo

function bench.bulk()
	return serve(function(fd)
		while socket.read(fd, MIB) do
			socket.write(fd, ".")
		end
	end)
end

-- seri.py: the bytes of a message are in a file
local function message()
	local f = assert(io.open(os.getenv "BENCH_MESSAGE", "rb"))
	local data = f:read "a"
	f:close()
	return data
end

function bench.pack(n)
	local values = table.pack(skynet.unpack(message()))
	return timed(function(n)
		for _ = 1, n do
			skynet.packstring(table.unpack(values, 1, values.n))
		end
	end, n)
end

function bench.unpack(n)
	local data = message()
	return timed(function(n)
		for _ = 1, n do
			skynet.unpack(data)
		end
	end, n)
end

skynet.start(function()
	if role == "answer" then
		skynet.dispatch("lua", function(session, _, value)
			if session ~= 0 then
				skynet.retpack(value)
			end
		end)
	elseif role == "link" then
		skynet.dispatch("lua", function(_, _, hops)
			skynet.send(following, "lua", hops - 1)
		end)
	elseif role == "idle" then
		skynet.dispatch("lua", nothing)
	else
		skynet.fork(function()
			local value = bench[os.getenv "BENCH_METRIC"](tonumber(os.getenv "BENCH_N"))
			io.stdout:write(string.format("RESULT %.3f\n", value))
			io.stdout:flush()
		end)
	end
end)
