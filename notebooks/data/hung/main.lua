local skynet = require "skynet"

skynet.start(function()
	local ledger = skynet.newservice "ledger"
	local bank = skynet.newservice("bank", ledger)
	skynet.newservice("debug_console", skynet.getenv "console")
	skynet.fork(function()
		print("paid", skynet.call(bank, "lua", "pay", 250))
	end)
end)
