local skynet = require "skynet"

-- mode "circle": hall asks room inside a section, room asks desk, desk asks hall. Handlers end in `return lock(...)`.
-- mode "crossed": two coroutines of hall enter two sections in opposite order.
skynet.start(function()
	local mode = skynet.getenv "mode"
	skynet.newservice("debug_console", "127.0.0.1", skynet.getenv "console")
	local hall = skynet.newservice "hall"
	local desk = skynet.newservice("desk", hall)
	local room = skynet.newservice("room", desk)
	if mode == "crossed" then
		skynet.newservice("guest", hall, "left")
		skynet.newservice("guest", hall, "right")
	else
		skynet.newservice("guest", hall, "seat", room)
		skynet.sleep(10)
		skynet.newservice("guest", hall, "count")
	end
end)
