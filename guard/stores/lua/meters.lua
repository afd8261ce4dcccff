-- What all scripts of the store share: the arithmetic of guard/meters.py to the letter, and how a record is written.
--
-- A record is one hash, everything of one account. Field "h": when it was last written, hits ever, when writes were last
-- found lost, until when anything in it is not drained, when it was last swept, when it was made, its birth mark. It lives until
-- whatever anybody has seen in it has drained; so who has seen more in it than nothing, and before it was made, knows that it
-- was lost. A field of 8 bytes a meter:
-- level, time, rate, and the trail where estimates are under way. A field "s" + 8 bytes: the slots in use of one limit,
-- (token, end) each. Field "a": what was added to which meter since writes were lost. Field "o": debts already brought home.
-- What is no such thing under our names was written by somebody else: it counts as not there, and is counted as healed.

local COST_MAX, LEVEL_MAX = 2 ^ 50, 2 ^ 52
local FOREVER_S = 10 * 365 * 86400
local ROOM, GRAIN_S = 1 + 1e-9, 1e-6
local MARGIN_S = 60
local TRAIL_MOST = 96
local FIELDS_MOST = 512
local HEADER = '<ddddddc8'
local now, ahead_s
local healed = 0

-- The moment: the server's, or the caller's where tests have one. How far ahead of it a record may have been written.
local function clock(argument)
  now, ahead_s = struct.unpack('<dd', argument)
  if now == 0 then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1e6
  end
end

local function lower(trail, level)
  local last = #trail - 2
  while last >= 4 and trail[last - 2] >= level do
    trail[last - 2] = level
    trail[last - 1] = trail[last - 1] + trail[last + 2]
    trail[last + 2], trail[last + 1], trail[last] = nil, nil, nil
    last = last - 3
  end
  if last >= 1 and trail[last + 1] > level then trail[last + 1] = level end
end

local function thinned(trail)
  local apart = (now - trail[1]) * 2 / TRAIL_MOST
  local kept = {trail[1], trail[2], trail[3]}
  for at = 4, #trail, 3 do
    local n = #kept
    if trail[at] - kept[n - 2] < apart then
      kept[n] = kept[n] + trail[at + 2]
    else
      kept[n + 1], kept[n + 2], kept[n + 3] = trail[at], trail[at + 1], trail[at + 2]
    end
  end
  return kept
end

local function enter(trail, before, after, at)
  local n = #trail
  if n == 0 then return {at, after, 1} end
  if trail[n - 1] > before then
    if n > 3 and trail[n - 4] >= before then lower(trail, before) else trail[n - 1] = before end
    n = #trail
  end
  if at <= trail[n - 2] then
    trail[n - 1] = after
    trail[n] = trail[n] + 1
    return trail
  end
  if n >= 3 * TRAIL_MOST then
    trail = thinned(trail)
    n = #trail
  end
  trail[n + 1], trail[n + 2], trail[n + 3] = at, after, 1
  return trail
end

local function leave(trail, level, excess, start)
  local at = #trail - 2
  if trail[at + 1] > level then
    if at > 1 and trail[at - 2] >= level then
      lower(trail, level)
      at = #trail - 2
    else
      trail[at + 1] = level
    end
  end
  if trail[1] > start then return 0 end
  while trail[at] > start do at = at - 3 end
  local lowest = trail[at + 1]
  local given = excess < lowest and excess or lowest
  if given > 0 then
    for low = at + 1, #trail, 3 do trail[low] = trail[low] - given end
    local rest = lowest - given
    for low = at - 2, 2, -3 do
      if trail[low] <= rest then break end
      trail[low] = rest
    end
  end
  trail[at + 2] = trail[at + 2] - 1
  if trail[at + 2] <= 0 then
    for _ = 1, 3 do table.remove(trail, at) end
  end
  return given
end

-- A trail of one is written as its start alone: the lowest level since is the present one.
local function whole(trail, level)
  if #trail == 1 then return {trail[1], level, 1} end
  return trail
end

local function noted(meter)
  if #meter.trail == 0 then return end
  if meter.level == 0 then
    meter.trail = {}
    return
  end
  meter.trail = whole(meter.trail, meter.level)
  lower(meter.trail, meter.level)
end

-- A meter as it is written, drained to now; nil where there is none.
local function meter_of(value)
  if not value then return nil end
  local size = #value
  if size < 24 or size % 8 ~= 0 or size > 24 + 24 * (TRAIL_MOST + 1) or (size > 32 and size % 24 ~= 0) then
    healed = healed + 1
    return nil
  end
  local level, as_of, rate = struct.unpack('<ddd', value)
  if not (level >= 0 and level <= LEVEL_MAX and rate >= 0 and rate <= LEVEL_MAX and as_of >= 0 and as_of < 1e15) then
    healed = healed + 1
    return nil
  end
  local trail = {}
  local meter = {level = level, as_of = as_of, rate = rate, trail = trail, there = true}
  if as_of > now + ahead_s then
    healed = healed + 1
    meter.as_of, meter.dirty = now, true
  elseif now > as_of then
    level = level - (now - as_of) * rate
    meter.level = level > 0 and level or 0
    meter.as_of = now
  end
  if size == 32 then
    trail[1] = struct.unpack('<d', value, 25)
  elseif size > 32 then
    for at = 25, size, 8 do trail[#trail + 1] = struct.unpack('<d', value, at) end
  end
  for at = 1, #trail, 3 do
    if not (trail[at] <= now + ahead_s) then
      meter.trail = {}
      break
    end
  end
  return meter
end

local function written(meter)
  local trail = meter.trail
  local value = struct.pack('<ddd', meter.level, meter.as_of, meter.rate)
  if #trail == 0 or meter.level == 0 then return value end
  local parts = {value}
  for at = 1, #trail do parts[at + 1] = struct.pack('<d', trail[at]) end
  return table.concat(parts)
end

-- Until when a meter is not drained.
local function ends(meter)
  if meter.level <= 0 then return now end
  if meter.rate <= 0 then return now + FOREVER_S end
  return math.min(meter.as_of + meter.level / meter.rate, now + FOREVER_S)
end

local function header_of(value)
  if value and #value == 56 then
    local touched, hits, lost_at, till, swept, born, mark = struct.unpack(HEADER, value)
    if touched >= 0 and hits >= 0 and lost_at >= 0 and till >= 0 and swept >= 0 and born >= 0 then
      local header =
        {touched = touched, hits = hits, lost_at = lost_at, till = till, swept = swept, born = born, mark = mark}
      if touched > now + ahead_s then
        healed = healed + 1
        header.touched, header.dirty = now, true
        header.lost_at, header.born = math.min(lost_at, now), math.min(born, now)
      end
      if till > now + FOREVER_S then header.till = now + FOREVER_S end
      return header
    end
  end
  if value then healed = healed + 1 end
  return nil
end

-- The slots in use as a list of (token, end), without those whose time is over.
local function slots_of(value, longest_s)
  local held = {}
  if not value then return held end
  if #value % 16 ~= 0 then
    healed = healed + 1
    return held
  end
  for at = 1, #value, 16 do
    local token, till = struct.unpack('<c8d', value, at)
    if till > now then
      if till <= now + ahead_s + longest_s then held[#held + 1] = {token, till} else healed = healed + 1 end
    end
  end
  return held
end

local function slots_written(held)
  local parts = {}
  for at = 1, #held do parts[at] = struct.pack('<c8d', held[at][1], held[at][2]) end
  return table.concat(parts)
end

-- Fields of a record. What is no hash was written by somebody else, and goes.
local function fields_of(key, names)
  local found = redis.pcall('HMGET', key, unpack(names))
  if found.err then
    if not string.find(found.err, 'WRONGTYPE') then return nil, found end
    healed = healed + 1
    redis.call('UNLINK', key)
    found = {}
    for at = 1, #names do found[at] = false end
  end
  return found
end

-- Writes all that changed in one step, with the record's end. An error is the caller's.
local function write(key, header, changes)
  header.touched = math.max(header.touched, now)
  changes[#changes + 1] = 'h'
  changes[#changes + 1] =
    struct.pack(HEADER, header.touched, header.hits, header.lost_at, header.till, header.swept, header.born, header.mark)
  local done = redis.pcall('HSET', key, unpack(changes))
  if type(done) == 'table' and done.err then return done end
  local till_s = math.max(0, header.till - now) + MARGIN_S
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(till_s * 1000)))
  return nil
end
