local skynet = require "skynet"
local ok, socket = pcall(require, "skynet.socket")
local port = ...
skynet.start(function()
	local id = socket.listen("127.0.0.1", tonumber(port))
	socket.start(id, function(fd, addr)
		skynet.fork(function()
			socket.start(fd)
			socket.readline(fd)
		end)
	end)
end)
