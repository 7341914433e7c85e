local skynet = require "skynet"
local function nap()
	while true do
		skynet.sleep(100000)
	end
end
skynet.start(function()
	for i = 1, 12 do
		skynet.fork(nap)
	end
	skynet.timeout(200000, function() end)
	skynet.info_func(function() return { rooms = 3, players = 12 } end)
end)
