-- probe.lua: what the scheduler of a real skynet does, service by service, as a stream of events.
--
-- One idea: skynet.lua keeps all it knows in local variables, and Lua's debug library can exchange those. While a
-- service is recorded it has tables that tell of each change and functions that tell of each switch; when that is
-- over it has its own back. skynet is not changed, and a service that is not recorded pays nothing.
--
--   from birth    preload = "PATH/probe.lua"      one line of the configuration
--   at any time   inject ADDRESS PATH/probe.lua start [KEY=VALUE ...]      in the debug console; `stop` ends it
--                 (v1.1.0 hands no words on: there one inject starts, and the next one stops)
--
-- What is recorded (in the configuration probe_KEY = VALUE, behind `start` KEY=VALUE):
--   dir              the folder of the streams, which has to be there; otherwise that of this file
--   only    ""       a Lua pattern: of all services that are born, those whose name it finds
--   start   true     false: nothing is recorded before somebody says `inject ... start`
--   events  0        a ring: the last so many events are kept, and at most twice as many; 0: all
--   data    false    what lua messages and sockets carry, too
--   lines   true     the lines of the program
--   flush   true     the stream is on the disk after each message; false: faster, and a crash takes its end along
--   keep    false    free coroutines live on, as if there were no garbage collection; for comparing two runs
--
-- A program may say a word of its own: require("skynet_lite.probe").mark "text"; it is heard while it is recorded.
-- For skynet 1.1.0 to 1.8. docs/probe.md tells how to look at the streams, and what all this costs.

local NAME, VERSION = "skynet_lite.probe", 1
local core = require "skynet.core"
local getinfo, getupvalue, setupvalue = debug.getinfo, debug.getupvalue, debug.setupvalue
local type, select, pcall, tostring, next = type, select, pcall, tostring, next
local SOURCE = debug.getinfo(1, "S").source
local OPTIONS = { only = "", start = "true", events = "0", data = "false", lines = "true", flush = "true", keep = "false" }
OPTIONS.dir = SOURCE:match "^@(.*)/" or "."
local MOST, DEEPEST = 1000, 4	-- letters of a text, entries of a table; tables in tables

local function options(words)
	local found = {}
	for key, otherwise in next, OPTIONS do
		found[key] = core.command("GETENV", "probe_" .. key) or otherwise
	end
	for _, word in ipairs(words) do
		local key, value = word:match "^(%w+)=(.*)$"
		if not key or not OPTIONS[key] or key == "only" or key == "start" then
			error(("%q is none of %s"):format(word, "dir= events= data= lines= flush= keep="), 0)
		end
		found[key] = value
	end
	for key, otherwise in next, OPTIONS do
		local value = found[key]
		if (otherwise == "true" or otherwise == "false") and value ~= "true" and value ~= "false" then
			error(("%s is true or false, not %q"):format(key, value), 0)
		end
	end
	local events = math.tointeger(tonumber(found.events) or -1)
	if not events or events < 0 then error(("events is a whole number, 0 or more, not %q"):format(found.events), 0) end
	found.events = events
	local ok, problem = pcall(string.find, "", found.only)
	if not ok then error(("only is a Lua pattern, not %q: %s"):format(found.only, problem), 0) end
	return found
end

local function misspelt()	-- keys of the configuration cannot be listed: those that are an option but for one letter
	local tried = {}
	local function try(key)
		if OPTIONS[key] or tried[key] then return end
		tried[key] = true
		if core.command("GETENV", "probe_" .. key) then core.error(("probe: probe_%s is no option of the probe"):format(key)) end
	end
	for key in next, OPTIONS do
		for i = 1, #key + 1 do
			local before, here, behind = key:sub(1, i - 1), key:sub(i, i), key:sub(i + 1)
			try(before .. behind)
			try(before .. behind:sub(1, 1) .. here .. behind:sub(2))
			for letter in ("abcdefghijklmnopqrstuvwxyz"):gmatch "." do
				try(before .. letter .. behind)
				try(before .. letter .. here .. behind)
			end
		end
	end
end

---- JSON

local escapes = setmetatable({ ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }, {
	-- A byte that is no UTF-8 becomes what Python's "surrogateescape" makes of it.
	__index = function(_, c) return ("\\u%04x"):format(c:byte() < 128 and c:byte() or 0xdc00 + c:byte()) end,
})

local function quote(s)
	if #s > MOST then s = s:sub(1, MOST) .. "..." end
	return '"' .. s:gsub(utf8.len(s) and '[%c"\\]' or '[%c"\\\128-\255]', escapes) .. '"'
end

local function json(v, depth)
	if v == nil then return "null" end
	if v == true or v == false or math.type(v) == "integer" then return tostring(v) end
	if type(v) == "number" then return v - v == 0 and ("%.17g"):format(v) or quote(tostring(v)) end
	if type(v) ~= "table" then return quote(tostring(v)) end
	if depth >= DEEPEST then return '"..."' end
	local parts, listed = {}, next(v) ~= nil and rawlen(v)
	for i = 1, math.min(listed or 0, MOST) do parts[i] = json(rawget(v, i), depth + 1) end
	if not listed or listed > 0 then return "[" .. table.concat(parts, ",") .. "]" end
	for k, x in next, v do
		parts[#parts + 1] = quote(tostring(k)) .. ":" .. json(x, depth + 1)
		if #parts == MOST then break end
	end
	table.sort(parts)
	return "{" .. table.concat(parts, ",") .. "}"
end

local function first_line(err) return quote(tostring(err):match "^[^\n]*") end
local function hex(address) return (":%08x"):format(address) end

local function resolved(to)	-- a name is known to the node only
	if type(to) == "number" then return to end
	local address = core.command("QUERY", to)
	return address and tonumber(address:sub(2), 16)
end

---- one recording, from start to stop

local PTYPES = { [0] = "text", "response", "multicast", "client", "system", "harbor", "socket", "error", "queue",
	"debug", "lua", "snax", "trace" }
local SOCKET_TYPES = { "DATA", "CONNECT", "CLOSE", "ACCEPT", "ERROR", "UDP", "WARNING" }
local DRIVER = { "listen", "connect", "bind", "start", "close", "shutdown", "pause", "send", "lsend" }
local NEEDED = [[session_id_coroutine session_coroutine_id session_coroutine_address unresponse sleep_session
	watching_session wakeup_queue error_queue fork_queue coroutine_pool coroutine_resume co_create suspend
	raw_dispatch_message dispatch_wakeup dispatch_error_queue assert]]

local function record(name, born, o)
	local skynet = require "skynet"
	local self = tonumber(core.command("REG"):sub(2), 16)
	local undo = {}	-- what gives skynet back what it had, the last first
	local rec = { on = true }

	-- skynet's local variables, by name: those of its own functions, and of the functions that they use
	local locals, seen = {}, {}
	local source = getinfo(skynet.dispatch_message, "S").source
	local function collect(f)
		if seen[f] or getinfo(f, "S").source ~= source then return end
		seen[f] = true
		for i = 1, 255 do
			local name, value = getupvalue(f, i)
			if not name then return end
			locals[name] = locals[name] or { f = f, i = i, value = value }
			if type(value) == "function" then collect(value) end
		end
	end
	for _, f in next, skynet do
		if type(f) == "function" then collect(f) end
	end
	collect(skynet.dispatch_message)
	for name in NEEDED:gmatch "%S+" do
		if not locals[name] then error("this skynet has no local variable " .. name, 0) end
		local value = select(2, getupvalue(locals[name].f, locals[name].i))
		locals[name].value = value
	end
	local function value(name) return locals[name] and locals[name].value end
	local function replace(name, new)	-- for all functions of skynet.lua: they share the variable
		local l = locals[name]
		setupvalue(l.f, l.i, new)
		undo[#undo + 1] = function()
			if select(2, getupvalue(l.f, l.i)) == new then setupvalue(l.f, l.i, l.value) end
		end
	end
	local function exchange(module, name, new)	-- a function that everybody calls by its name in a module
		local old = module[name]
		if not old then return end
		module[name] = new(old)
		local mine = module[name]
		undo[#undo + 1] = function()
			if module[name] == mine then module[name] = old end
		end
	end

	-- the stream
	local path = ("%s/%08x"):format(o.dir, self)
	local out, write, count, part, missing, before = nil, nil, 0, 0, 0, 0
	local clock = core.hpc or function() return math.floor(os.clock() * 1e9) end
	local current = "main"	-- the coroutine that runs
	local function at(t, ...)	-- pieces of text behind {"t":123,"e":"
		count = count + 1
		write(out, '{"t":', t, ',"e":"', ...)
		write(out, "}\n")
	end
	local function emit(...) return at(clock(), ...) end

	-- places in the program: those of skynet's library, from the innermost out, up to a line of the user's
	local library = source:match "^(.*/)[^/]*$" or ""
	local code = setmetatable({}, { __mode = "k" })	-- function → its file, and whether that is skynet's
	local function code_of(f)	-- and its lines, as they are written
		local known = code[f]
		if not known then
			local s = getinfo(f, "S").source
			local own = library ~= "" and s:sub(1, #library) == library
			known = { s:sub(1, 1) == "@" and s ~= SOURCE and s:sub(2), own, {}, own and s:find "/queue%.lua$" ~= nil }
			code[f] = known
		end
		return known
	end
	local function stack(co)	-- the places; and the critical section, if there is one between skynet and the program
		local places, section
		for level = 0, 20 do
			local frame
			if co then frame = getinfo(co, level, "fl") else frame = getinfo(level + 2, "fl") end
			if not frame then break end
			local file = code_of(frame.func)
			if file[1] and frame.currentline > 0 then
				local line, known = frame.currentline, file[3]
				local place = known[line]
				if not place then
					place = quote(file[1] .. ":" .. line)
					known[line] = place
				end
				places = places and places .. "," .. place or place
				if not file[2] then break end
				if file[4] then section = frame.func end
			end
		end
		return places and "[" .. places .. "]", section
	end
	local lines = o.lines == "true"
	local function here(co)	-- where that coroutine is, or the one that runs
		if not lines then return "" end
		local places, section = stack(co)
		return places and ',"stack":' .. places or "", section
	end
	local function defined(f)	-- where the task begins; skynet wraps some functions into its own
		if not lines then return "" end
		for _ = 1, 3 do
			local file = code_of(f)
			if not file[2] then
				return file[1] and ',"runs":' .. quote(file[1] .. ":" .. getinfo(f, "S").linedefined) or ""
			end
			local inner
			for i = 1, 10 do
				local name, v = getupvalue(f, i)
				if not name then break end
				if type(v) == "function" and (name == "func" or name == "start_func" or name == "start") then inner = v end
			end
			if not inner then return "" end
			f = inner
		end
		return ""
	end

	-- who is who: coroutines, and the tokens that some sleep with
	local weak = { __mode = o.keep == "true" and "" or "k" }
	local labels, tokens, sleepers = setmetatable({}, weak), setmetatable({}, weak), setmetatable({}, weak)
	local coroutines, last_token = 0, 0
	local waiting	-- the session that the coroutine which runs has entered itself for
	local function number(co)
		coroutines = coroutines + 1
		labels[co] = "co" .. coroutines
		return labels[co]
	end
	local function created(co, how, purpose, runs)
		local n = how == "new" and number(co) or labels[co]
		emit('co_create","co":"', n, '","how":"', how, '","for":"', purpose, '","in":"', current, '"', runs)
		return n
	end
	local function label(co) return labels[co] or created(co, "new", "other", "") end
	local function sleeper(token)	-- the fields of who sleeps with a token; most sleep with themselves
		if type(token) == "thread" then return '"co":"' .. label(token) .. '"' end
		if token == nil then return '"co":null' end
		if not tokens[token] then
			last_token = last_token + 1
			tokens[token] = last_token
		end
		local co = sleepers[token]
		return '"co":' .. (co and '"' .. co .. '"' or "null") .. ',"token":' .. tokens[token]
	end

	-- critical sections: who is inside is known when somebody else has to wait
	local sections, section_numbers, waits_in = {}, setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })
	local section_count = 0
	local function inside(section)
		for i = 1, 10 do
			local name, v = getupvalue(section, i)
			if name == "current_thread" then return v end
		end
	end
	local function left(s)
		emit('table","table":"queue","op":"pop","session":', s.number, ',"co":"', label(s[1]), '"')
		table.remove(s, 1)
	end
	local function entered(s, co, told)
		s[#s + 1] = co
		if told then emit('table","table":"queue","op":"push","session":', s.number, ',"co":"', label(co), '"') end
	end
	local function queued(co, section, told)
		local holder = inside(section)
		if not holder or holder == co then return end
		if not section_numbers[section] then
			section_count = section_count + 1
			section_numbers[section] = section_count
		end
		local s = sections[section] or { number = section_numbers[section] }
		sections[section] = s
		while s[1] and s[1] ~= holder do left(s) end
		if not s[1] then entered(s, holder, told) end
		entered(s, co, told)
		waits_in[co] = s
	end
	local function look_inside()	-- who was the last has left unseen
		for section, s in next, sections do
			if #s == 1 and inside(section) ~= s[1] then left(s) end
			if not s[1] then sections[section] = nil end
		end
	end

	-- the tables as they are now, for a stream that does not begin with its service
	local pool, watching, threads = value "coroutine_pool", value "watching_session", value "session_id_coroutine"
	local requests, callers_of = value "session_coroutine_id", value "session_coroutine_address"
	local sleeping, promises = value "sleep_session", value "unresponse"
	local function promised(response)	-- what a response function knows: session and address
		local session, address
		for i = 1, 10 do
			local name, v = getupvalue(response, i)
			if name == "co_session" then session = v elseif name == "co_address" then address = v end
		end
		return session, address
	end
	local function tables()
		local found = {}
		local function entries(name, t, entry)
			local parts = {}
			for k, v in next, t or {} do parts[#parts + 1] = entry(k, v) end
			table.sort(parts)
			return parts, name
		end
		local function object(parts, name) found[#found + 1] = ('"%s":{%s}'):format(name, table.concat(parts, ",")) end
		local function list(parts, name) found[#found + 1] = ('"%s":[%s]'):format(name, table.concat(parts, ",")) end
		local sessions = {}
		for session in next, threads do sessions[#sessions + 1] = session end
		table.sort(sessions)
		local places, timers = {}, {}
		local function timed(co)	-- whether it sleeps with a timer
			for level = 0, 6 do
				local frame = getinfo(co, level, "f")
				if not frame or frame.func == skynet.sleep then return frame ~= nil end
			end
		end
		local function known(co)
			if not labels[co] then number(co) end
			return '"' .. labels[co] .. '"'
		end
		local running = coroutine.running()
		for _, session in ipairs(sessions) do
			local co = threads[session]
			if type(co) == "thread" then
				local places_of, section
				if lines and co ~= running then places_of, section = stack(co) end
				if places_of then places[#places + 1] = known(co) .. ":" .. places_of end
				if section and not waits_in[co] then queued(co, section, false) end
			end
		end
		local asleep_at = {}
		for token, session in next, sleeping do
			local co = threads[session]
			if type(co) == "thread" then
				sleepers[token] = known(co):sub(2, -2)
				asleep_at[session] = true
			end
		end
		for _, session in ipairs(sessions) do
			local co = threads[session]
			if type(co) == "thread" and not watching[session] and (not asleep_at[session] or timed(co)) then
				timers[#timers + 1] = session
			end
		end
		local function asleep(token) return sleepers[token] and '"' .. sleepers[token] .. '"' end
		local function keyed(k, v) return ('"%d":%s'):format(k, v) end
		object(entries("session_id_coroutine", threads, function(session, co)
			return keyed(session, type(co) == "thread" and known(co) or '"BREAK"')
		end))
		object(entries("sleep_session", sleeping, function(token, session)
			return sleepers[token] and asleep(token) .. ":" .. session
		end))
		object(entries("watching_session", watching, function(session, to)
			local address = resolved(to)
			return keyed(session, address and quote(hex(address)) or quote(tostring(to)))
		end))
		object(entries("session_coroutine_id", requests, function(co, session) return known(co) .. ":" .. session end))
		object(entries("session_coroutine_address", callers_of, function(co, address)
			if requests[co] then return known(co) .. ":" .. quote(hex(address)) end
		end))
		list(entries("session_response", value "session_response", function(co) return known(co) end))
		list(entries("unresponse", promises, function(response)
			local session, address = promised(response)
			if session then return ("[%d,%s]"):format(session, quote(hex(address))) end
		end))
		list(entries("dead_service", value "dead_service", function(address) return quote(hex(address)) end))
		object(entries("queue", sections, function(_, s)
			local members = {}
			for i, co in ipairs(s) do members[i] = known(co) end
			return ('"%d":[%s]'):format(s.number, table.concat(members, ","))
		end))
		local function row(name, t, from, to, entry)
			local parts = {}
			for i = from, to do
				if t[i] ~= nil then parts[#parts + 1] = entry(t[i]) end	-- or nil, for one that wakes nobody
			end
			list(parts, name)
		end
		local woken, failed = value "wakeup_queue", value "error_queue"
		row("wakeup_queue", woken, 1, #woken, asleep)
		row("error_queue", failed, 1, #failed, tostring)
		local queue = select(2, getupvalue(locals.fork_queue.f, locals.fork_queue.i))
		row("fork_queue", queue, queue.h or 1, queue.t or #queue, known)
		row("coroutine_pool", pool, 1, #pool, known)
		return ',"tables":{' .. table.concat(found, ",") .. '},"places":{' .. table.concat(places, ",") .. '},"timers":['
			.. table.concat(timers, ",") .. "]"
	end

	local function open()	-- the first part of the stream, or the next one of a ring
		local file = path .. ".jsonl"
		if out then
			out:close()
			missing, before, count = missing + before, count, 0	-- what goes with the part before the last, and what stays
			os.remove(path .. ".old.jsonl")
			os.rename(file, path .. ".old.jsonl")
		else
			os.remove(path .. ".old.jsonl")	-- of a recording before
		end
		local opened, problem = io.open(file, "w")
		if not opened then error(problem, 0) end
		out, write, part = opened, opened.write, part + 1
		out:setvbuf("full", 0x10000)
		local whole = born and part == 1
		local known = whole and "" or tables()
		write(out, '{"t":', clock(), ',"e":"stream","version":', VERSION, ',"self":', self, ',"name":', quote(name),
			',"part":', part, ',"missing":', missing + before, ',"born":', tostring(whole), ',"running":"', current,
			'","skynet":"', locals.dead_service and "1.1" or "1.8", '","lua":', quote(_VERSION),
			',"library":', quote(library:sub(2)), ',"folder":', quote(os.getenv "PWD" or ""),
			',"started":', core.intcommand("STARTTIME") or 0, ',"now":', core.now(),
			',"clock":"', core.hpc and "real" or "cpu", '","data":', o.data, ',"flush":', o.flush, known, "}\n")
	end

	-- sending; skynet.lua has some of these functions in variables of its own
	local function telling(name, new)
		local old = core[name]
		exchange(core, name, new)
		local copy = locals["c" .. name]
		if copy and select(2, getupvalue(copy.f, copy.i)) == old then
			copy.value = old
			replace("c" .. name, core[name])
		end
	end
	local function sent(t, where, to, ptype, session, ...)
		local name = type(to) == "string" and ',"name":' .. quote(to) or ""
		at(t, 'send","to":', resolved(to) or -1, name, ',"ptype":"', PTYPES[ptype] or ptype, '","session":',
			session or "null", ',"in":"', current, '"', where)
		return session, ...
	end

	-- the switch
	local function yielded(co, n, before_it, ok, command, ...)
		current = before_it
		local where, section = "", nil
		if not ok or command and command ~= "EXIT" and pool[#pool] ~= co then where, section = here(co) end
		if section and ok and (waiting or command == "SLEEP") then queued(co, section, true) end
		if not ok then
			emit('co_error","co":"', n, '","error":', first_line(command), where)
		elseif command ~= "SUSPEND" then	-- QUIT or nil; in v1.1.0 there are more
			local session = (command == "CALL" or command == "SLEEP") and ...
			emit('yield","co":"', n, '","command":', command and '"' .. tostring(command) .. '"' or "null",
				session and ',"session":' or "", session or "", where)
		elseif pool[#pool] == co then
			emit('yield","co":"', n, '","command":"SUSPEND","what":"EXIT"')
		elseif waiting then
			emit('yield","co":"', n, '","command":"SUSPEND","what":"', watching[waiting] and "CALL" or "SLEEP",
				'","session":', waiting, where)
		else
			emit('yield","co":"', n, '","command":"SUSPEND","what":"OTHER"', where)
		end
		if next(sections) then look_inside() end
		return ok, command, ...
	end

	-- messages
	local has_driver, driver = pcall(require, "skynet.socketdriver")
	local function bytes(msg, sz)	-- of a string, of several in a table, of memory
		if type(msg) == "string" then return #msg end
		if type(msg) ~= "table" then return math.tointeger(sz) or 0 end
		local n = 0
		for _, part in ipairs(msg) do n = n + #part end
		return n
	end
	local data = o.data == "true"
	local function contents(ptype, msg, sz)
		if ptype ~= 6 then
			local body = table.pack(core.unpack(msg, sz))
			for i = 1, body.n do body[i] = json(body[i], 0) end
			return ',"body":[' .. table.concat(body, ",") .. "]"
		end
		local kind, id, n, bytes = driver.unpack(msg, sz)
		local text = (',"type":"%s","id":%d'):format(SOCKET_TYPES[kind] or kind, id)
		if kind == 2 or kind == 5 then return text .. ',"info":' .. quote(tostring(bytes or "")) end
		if kind == 4 then return ('%s,"new":%d,"peer":%s'):format(text, n, quote(tostring(bytes or ""))) end
		if kind == 3 then return text end
		text = ('%s,"size":%d'):format(text, n)
		if not data or kind == 7 then return text end
		return text .. ',"data":' .. quote(type(bytes) == "string" and bytes or core.tostring(bytes, n))
	end

	local function install()
		telling("send", function(send) return function(to, ptype, ...)
			if not rec.on then return send(to, ptype, ...) end
			local where = current == "main" and "" or here()
			return sent(clock(), where, to, ptype, send(to, ptype, ...))
		end end)
		telling("redirect", function(redirect) return function(to, from, ptype, session, ...)
			if rec.on then
				emit('redirect","to":', resolved(to) or -1, ',"source":', resolved(from) or -1, ',"ptype":"',
					PTYPES[ptype] or ptype, '","session":', session or 0, ',"in":"', current, '"', (here()))
			end
			return redirect(to, from, ptype, session, ...)
		end end)
		local function timed(t, where, ticks, session)
			at(t, 'timer","session":', session, ',"tick":', ticks > 0 and core.now() + ticks or 0, ',"in":"', current, '"',
				where)
			return session
		end
		telling("intcommand", function(intcommand) return function(what, ...)	-- the C function counts its arguments
			if not rec.on or what ~= "TIMEOUT" then return intcommand(what, ...) end
			return timed(clock(), here(), (...), intcommand(what, ...))
		end end)
		telling("command", function(command) return function(what, ...)
			if rec.on and what == "EXIT" then emit('exit","in":"', current, '"', (here())) end
			return command(what, ...)
		end end)

		-- An empty table in the place of one of skynet's: all that is written comes by, and what is read goes through.
		local function watch(name, changed, read)
			if not locals[name] then return end
			local real = value(name)
			replace(name, setmetatable({}, {
				__index = read and function(_, k) return read(k, real[k]) end or real,
				__newindex = function(_, k, new)
					local old = real[k]
					real[k] = new
					return changed(k, new, old)
				end,
				__pairs = function() return next, real end,
				__len = function() return #real end,
				__mode = getmetatable(real) and getmetatable(real).__mode,
			}))
		end
		watch("session_id_coroutine", function(session, co)
			if type(co) == "thread" then
				local n = label(co)
				if n == current then waiting = session end
				emit('table","table":"session_id_coroutine","op":"set","session":', session, ',"co":"', n, '"')
			else
				emit('table","table":"session_id_coroutine","op":"', co and "break" or "clear", '","session":', session)
			end
		end)
		watch("watching_session", function(session, to)
			emit('table","table":"watching_session","op":"', to and "set" or "clear", '","session":', session)
		end)
		watch("dead_service", function(address, dead)
			emit('table","table":"dead_service","op":"', dead and "set" or "clear", '","source":', address)
		end)
		local forgets = { [skynet.ret] = "ret", [skynet.response] = "response",
			[skynet.ignoreret or false] = "clear" }
		watch("session_coroutine_id", function(co, session)	-- what else takes an entry out, other events tell
			local op = not session and forgets[getinfo(2, "f").func]
			if op and labels[co] then emit('table","table":"session_coroutine_id","op":"', op, '","co":"', labels[co], '"') end
		end)
		local kept = setmetatable({}, { __mode = "k" })
		watch("unresponse", function(response, new)
			if new then kept[response] = { promised(response) } end
			local session, address = table.unpack(kept[response] or { promised(response) })
			if session then
				emit('table","table":"unresponse","op":"', new and "set" or "clear", '","session":', session, ',"source":', address)
			end
		end)
		-- Two tables are queues: who takes the first entry moves all others, which writes many times.
		watch("error_queue", function(i, session, old)
			if i == 1 and old then
				emit('table","table":"error_queue","op":"pop","session":', old)
			elseif session and not old then
				emit('table","table":"error_queue","op":"push","session":', session)
			end
		end)
		local popped	-- the entry that was taken from wakeup_queue last
		watch("wakeup_queue", function(i, _, old)
			if i == 1 and old then popped = old end
		end)
		watch("sleep_session", function(token, session, old)
			if session and type(token) ~= "thread" then sleepers[token] = current end
			emit('table","table":"sleep_session","op":"', session and "set" or "clear", '","session":',
				session or old or "null", ",", sleeper(token))
			if not session and type(token) ~= "thread" then sleepers[token] = nil end
		end, function(token, session)
			if token == popped and not session then emit('wakeup_skip",', sleeper(token)) end
			popped = nil
			return session
		end)

		local callers = { [skynet.dispatch_message] = "fork" }	-- which function of skynet.lua resumes
		for name in ("raw_dispatch_message dispatch_wakeup dispatch_error_queue suspend co_create"):gmatch "%S+" do
			callers[value(name)] = name
		end
		local purposes = { [value "raw_dispatch_message"] = "message", [skynet.fork] = "fork" }
		local co_create = value "co_create"
		local function creating(f)
			local purpose = purposes[getinfo(2, "f").func] or "timeout"
			local co = pool[#pool]
			if not co then
				co = co_create(f)
				created(co, "new", purpose, defined(f))
				return co
			end
			if not labels[co] then number(co) end
			created(co, "pool", purpose, defined(f))
			return co_create(f)
		end
		replace("co_create", creating)
		local for_timeout = locals.co_create_for_timeout
		if for_timeout then
			for_timeout.value = select(2, getupvalue(for_timeout.f, for_timeout.i))
			if for_timeout.value == co_create then replace("co_create_for_timeout", creating) end
		end

		local resume = value "coroutine_resume"
		replace("coroutine_resume", function(co, ...)
			local n, before_it = label(co), current
			local first, second, _, session = ...
			local by = callers[getinfo(2, "f").func] or "other"
			local args = ""
			if first == true then
				args = "true"
			elseif first == false then
				args = second == "BREAK" and 'false,"BREAK"' or "false"
			elseif type(first) == "function" then
				args = by == "suspend" and '"response"' or '"function"'
			elseif select("#", ...) > 0 then
				args = '"request"'
			end
			if session and (first == true or first == false) then
				emit('resume","co":"', n, '","by":"', by, '","args":[', args, '],"session":', session)
			else
				emit('resume","co":"', n, '","by":"', by, '","args":[', args, "]")
			end
			local s = waits_in[co]
			if s then
				waits_in[co] = nil
				while s[1] and s[1] ~= co do left(s) end
			end
			current, waiting = n, nil
			return yielded(co, n, before_it, resume(co, ...))
		end)

		exchange(skynet, "wakeup", function(wakeup) return function(token)
			local queued = wakeup(token)
			if rec.on then
				emit('wakeup",', sleeper(token), ',"queued":', queued and "true" or "false", ',"in":"', current, '"', (here()))
			end
			return queued
		end end)
		exchange(skynet, "killthread", function(killthread) return function(thread)
			local co = killthread(thread)
			if co and rec.on then emit('kill","co":"', label(co), '","in":"', current, '"') end
			return co
		end end)
		for _, name in ipairs(has_driver and DRIVER or {}) do
			exchange(driver, name, function(f) return function(...)
				local t, id = clock(), f(...)
				if rec.on and (id or not name:find "send$") then	-- a send that was refused is none
					local sends = name:find "send$" and ',"size":' .. bytes(select(2, ...)) or ""
					at(t, 'driver","command":"', sends == "" and name or "send", '","id":', math.type(id) and id or math.type((...)) and (...) or -1,
						sends, ',"co":"', current, '"', (here()))
				end
				return id
			end end)
		end

		-- A message comes, and its dispatch ends: with skynet.dispatch_message's own check of how it went, which gets a
		-- variable of its own for that.
		local raw, limit, flush = value "raw_dispatch_message", o.events, o.flush == "true"
		replace("raw_dispatch_message", function(ptype, msg, sz, session, from)
			local ok, more
			if ptype == 6 and has_driver or data and ptype == 10 then ok, more = pcall(contents, ptype, msg, sz) end
			emit('message","ptype":"', PTYPES[ptype] or ptype, '","session":', session, ',"source":', from, ok and more or "")
			if flush then out:flush() end	-- what loops in here ends no dispatch: this alone tells of it
			return raw(ptype, msg, sz, session, from)
		end)
		local dispatch, check, slot = skynet.dispatch_message, value "assert", nil
		for i = 1, 255 do
			local name = getupvalue(dispatch, i)
			if not name then break end
			if name == "assert" then slot = i end
		end
		if not slot then error("skynet.dispatch_message does not look as expected", 0) end
		local function ended(ok, ...)
			if rec.on then
				if not ok then emit('dispatch_failed","reason":', first_line((...))) end
				if limit > 0 and count >= limit then
					local opened, problem = pcall(open)
					if not opened then rec.stop(problem) end
				elseif flush and not out:flush() then
					rec.stop "the stream cannot be written"
				end
			end
			return check(ok, ...)
		end
		local function shared() return check end
		debug.upvaluejoin(shared, 1, dispatch, slot)
		debug.upvaluejoin(dispatch, slot, function() return ended end, 1)
		undo[#undo + 1] = function() debug.upvaluejoin(dispatch, slot, shared, 1) end
	end

	function rec.stop(problem)
		if not rec.on then return end
		rec.on = false
		for i = #undo, 1, -1 do undo[i]() end
		if out then
			if not problem then emit('end"') end
			out:close()
			write = function() end	-- the coroutine that stops us is still to come back
		end
		if problem then core.error("probe: not recorded any more: " .. problem) end
	end
	function rec.mark(text)
		emit('mark","co":"', current, '","text":', quote(tostring(text)), (here()))
	end

	local ok, problem = pcall(function()
		local running = coroutine.running()
		if not born and value "session_coroutine_id"[running] ~= nil then current = number(running) end
		open()
		install()
	end)
	if not ok then
		rec.on = false
		for i = #undo, 1, -1 do undo[i]() end
		if out then out:close() end
		error(problem, 0)
	end
	return rec
end

---- to be started and stopped

local probe = package.loaded[NAME]
if type(probe) ~= "table" then
	local recording
	probe = { mark = function(text) if recording and recording.on then recording.mark(text) end end }
	package.loaded[NAME] = probe
	function probe.on() return recording ~= nil and recording.on end
	function probe.start(name, born, o) recording = record(name, born, o) end
	function probe.stop() recording.stop() end
end

if not _U then	-- loaded before the service itself
	local ok, problem = pcall(function(...)
		local name = table.concat({ ... }, " ")
		if name:find "^bootstrap" then misspelt() end
		local o = options {}
		if o.start == "true" and name:find(o.only) then probe.start(name, true, o) end
	end, ...)
	if not ok then core.error("probe: nothing is recorded: " .. tostring(problem)) end
	return probe
end

local word = (...) or (probe.on() and "stop" or "start")
if word == "stop" then
	print(probe.on() and "the probe no longer records this service" or "the probe does not record this service")
	if probe.on() then probe.stop() end
elseif word ~= "start" then
	error(("%q is neither start nor stop"):format(word), 0)
else
	local o = options { select(2, ...) }
	if probe.on() then probe.stop() end
	probe.start(SERVICE_NAME, false, o)
	print(("the probe records this service into %s/%08x.jsonl"):format(o.dir, tonumber(core.command("REG"):sub(2), 16)))
end
