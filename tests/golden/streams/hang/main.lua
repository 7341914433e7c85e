local skynet = require "skynet"

skynet.start(function()
	local echo = skynet.newservice("echo", "once")
	skynet.newservice("debug_console", skynet.getenv "console")
	skynet.fork(function()
		skynet.call(echo, "lua", "hang")
	end)
	skynet.fork(function()
		skynet.sleep(100000)
	end)
end)
