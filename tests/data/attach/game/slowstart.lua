local skynet = require "skynet"
skynet.start(function()
	skynet.wait()
end)
