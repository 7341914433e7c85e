local skynet = require "skynet"

skynet.start(function()
	local echo = skynet.newservice("echo", "once")
	skynet.send(echo, "lua", "forget")
	skynet.call(echo, "lua", "back", 1)
	skynet.fork(function(ticks)
		skynet.sleep(ticks)
	end, 1)
	print(pcall(skynet.call, echo, "lua", "fail"))
	skynet.call(echo, "lua", "forget")
end)
