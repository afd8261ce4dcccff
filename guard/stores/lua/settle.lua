-- Ends leases: corrects what was reserved, gives back slots; or lengthens them. As many as there are keys.

local function settle(key, blob)
  local how, mark, token, start, lease_s, many, held, at = struct.unpack('<Bc8c8ddHH', blob)
  local names, rows, slots = {'h', 'a'}, {}, {}
  for number = 1, many do
    local row = {}
    row.id, row.spill, row.reserved, row.amount, row.rate, row.estimate, at = struct.unpack('<c8c8dddB', blob, at)
    rows[number] = row
    names[#names + 1] = row.id
    names[#names + 1] = row.spill
  end
  for number = 1, held do
    slots[number], at = struct.unpack('<c8', blob, at)
    slots[number] = 's' .. slots[number]
    names[#names + 1] = slots[number]
  end
  local found, failure = fields_of(key, names)
  if failure then return nil, failure end
  local header = header_of(found[1])
  local fresh = not header
  if fresh then header = {touched = 0, hits = 0, lost_at = 0, till = now, swept = 0, born = now, mark = token} end
  local same = header.mark == mark
  local changes, gone, done = {}, {}, 0
  local added = header.lost_at > 0 and found[2] or ''
  for number, row in ipairs(rows) do
    local id, meter = row.id, meter_of(found[2 * number + 1])
    if not meter and row.spill ~= row.id then
      meter = meter_of(found[2 * number + 2])
      if meter then id = row.spill end
    end
    local level, amount = meter and meter.level or 0, row.amount
    if not meter or not same then
      -- It drained and was dropped, was erased or lost while the answer ran: only what came out dearer is charged.
      if amount > 0 then
        meter = meter or {level = 0, as_of = now, rate = row.rate, trail = {}}
        noted(meter)
        level = meter.level + amount
      else
        meter = nil
      end
    elseif row.estimate == 0 then
      level = level + amount
    elseif #meter.trail == 0 or level == 0 then
      meter.trail = {}
      if amount > 0 then level = level + amount end
    elseif #meter.trail == 1 and row.reserved > 0 and meter.trail[1] <= start then
      meter.trail = {}
      level = level + amount
    else
      local trail = whole(meter.trail, level)
      if row.reserved > 0 then
        level = level - leave(trail, level, amount < 0 and -amount or 0, start)
      else
        lower(trail, level)
      end
      if amount > 0 then level = level + amount end
      meter.trail = trail
    end
    if meter then
      level = math.min(math.max(level, 0), COST_MAX)
      local moved = level - meter.level
      meter.level = level
      if #added > 0 and #added % 16 == 0 and moved ~= 0 then
        for place = 1, #added, 16 do
          if string.sub(added, place, place + 7) == id then
            local since = math.max(0, struct.unpack('<d', added, place + 8) + moved)
            added = string.sub(added, 1, place + 7) .. struct.pack('<d', since) .. string.sub(added, place + 16)
            break
          end
        end
      end
      changes[#changes + 1] = id
      changes[#changes + 1] = written(meter)
      header.till = math.max(header.till, ends(meter))
      done = done + 1
    end
  end
  if #added > 0 and done > 0 then
    changes[#changes + 1] = 'a'
    changes[#changes + 1] = added
  end
  for number, name in ipairs(slots) do
    local list, kept, there = slots_of(found[2 + 2 * many + number], FOREVER_S), {}, false
    for _, slot in ipairs(list) do
      if slot[1] == token then
        there = true
        if how == 1 then
          kept[#kept + 1] = {token, math.max(slot[2], now + lease_s)}
          header.till = math.max(header.till, now + lease_s)
        end
      else
        kept[#kept + 1] = slot
      end
    end
    if there then
      done = done + 1
      if #kept > 0 then
        changes[#changes + 1] = name
        changes[#changes + 1] = slots_written(kept)
      else
        gone[#gone + 1] = name
      end
    end
  end
  if #gone > 0 then
    local freed = redis.pcall('HDEL', key, unpack(gone))
    if type(freed) == 'table' and freed.err then return nil, freed end
  end
  if done > 0 then
    failure = write(key, header, changes)
    if failure then return nil, failure end
  end
  return done
end

clock(ARGV[1])
local total = 0
for number = 1, #KEYS do
  local done, failure = settle(KEYS[number], ARGV[number + 1])
  if failure then return failure end
  total = total + done
end
return struct.pack('<dII', now, healed, total)
