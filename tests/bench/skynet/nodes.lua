-- The part of a real skynet in nodes.py, with the roles of nodes_lite.py: worker, gate, threads, caller, inside.
-- The role and its numbers come in the environment (BENCH_ROLE, BENCH_ARGS), results go out as lines.
-- The same file is the service that does the work.
local skynet = require "skynet"
local cluster = require "skynet.cluster"
local socket = require "skynet.socket"

local as_worker = ...
local LOOPS <const> = 150000 -- about a millisecond, as in worker.py
local WARM <const> = 10
local roles = {}

local function work(loops)
	local x = 0
	for i = 0, loops - 1 do
		x = (x * 31 + i) & 0xFFFF
	end
	return x
end

local function say(...)
	io.stdout:write(table.concat({ ... }, " "), "\n")
	io.stdout:flush()
end

local function serve(ask)
	local id = socket.listen("127.0.0.1", tonumber(os.getenv "BENCH_PORT"))
	socket.start(id, function(fd)
		socket.start(fd)
		local line = socket.readline(fd)
		while line do
			ask()
			socket.write(fd, line .. "\n")
			line = socket.readline(fd)
		end
		socket.close(fd)
	end)
	say("RESULT", os.getenv "BENCH_PORT")
end

local function calls(n, outstanding, call)
	for _, count in ipairs { math.max(outstanding, n // WARM), n } do
		local left, running = count, outstanding
		local function run()
			while left > 0 do
				left = left - 1
				call(left)
			end
			running = running - 1
			if running == 0 then
				skynet.wakeup "all"
			end
		end
		for _ = 1, outstanding do
			skynet.fork(run)
		end
		skynet.wait "all"
		if count == n then
			say("RESULT", n)
		else
			say "START"
		end
	end
end

function roles.worker(port)
	cluster.register("work", skynet.newservice("nodes", "work"))
	cluster.reload { here = "127.0.0.1:" .. port }
	cluster.open "here"
	say("RESULT", port)
end

function roles.gate(...)
	local names, addresses, turn = {}, {}, 0
	for k, port in ipairs { ... } do
		names[k] = "w" .. k
		addresses[names[k]] = "127.0.0.1:" .. port
	end
	cluster.reload(addresses)
	serve(function()
		turn = turn % #names + 1
		return cluster.call(names[turn], "@work", "work", LOOPS)
	end)
end

function roles.threads(n)
	local workers, turn = {}, 0
	for k = 1, n do
		workers[k] = skynet.newservice("nodes", "work")
	end
	serve(function()
		turn = turn % n + 1
		return skynet.call(workers[turn], "lua", "work", LOOPS)
	end)
end

function roles.caller(n, outstanding, port)
	cluster.reload { w0 = "127.0.0.1:" .. port }
	calls(n, outstanding, function(i)
		return cluster.call("w0", "@work", "echo", i)
	end)
end

function roles.inside(n, outstanding)
	local addr = skynet.newservice("nodes", "work")
	calls(n, outstanding, function(i)
		return skynet.call(addr, "lua", "echo", i)
	end)
end

skynet.start(function()
	if as_worker then
		skynet.dispatch("lua", function(_, _, what, n)
			skynet.retpack(what == "work" and work(n) or n)
		end)
		return
	end
	local numbers = {}
	for number in os.getenv("BENCH_ARGS"):gmatch "%d+" do
		numbers[#numbers + 1] = tonumber(number)
	end
	skynet.fork(roles[os.getenv "BENCH_ROLE"], table.unpack(numbers))
end)
