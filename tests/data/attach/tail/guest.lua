local skynet = require "skynet"
local hall, command, room = ...
hall, room = tonumber(hall), tonumber(room)

skynet.start(function()
	skynet.fork(function()
		local answer = skynet.call(hall, "lua", command, room)
		print(answer)
	end)
end)
