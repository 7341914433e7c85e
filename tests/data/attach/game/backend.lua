local skynet = require "skynet"
local socket = require "skynet.socket"
local port = ...
skynet.start(function()
	skynet.fork(function()
		local fd = assert(socket.open("127.0.0.1", tonumber(port)))
		local answer = socket.readline(fd)
		skynet.error(answer)
	end)
end)
