local skynet = require "skynet"
local queue = require "skynet.queue"

skynet.start(function()
	local lock = queue()
	local bank
	skynet.dispatch("lua", function()
		lock(function()
			skynet.retpack "done"
		end)
	end)
	bank = skynet.newservice "bank"
	skynet.newservice("debug_console", skynet.getenv "console")
	lock(function() skynet.sleep(1) end)
	for _ = 1, 3 do
		skynet.fork(function()
			lock(skynet.yield)
		end)
	end
	skynet.sleep(5)
	skynet.fork(function()
		lock(function()
			return skynet.call(bank, "lua", skynet.self())
		end)
	end)
	skynet.fork(function()
		lock(function()
			skynet.sleep(10)
		end)
	end)
end)
