-- All charges and slots of an account or none, for as many accounts as there are keys: one answer a key, one after the other.

local outcomes = {}

-- What one account asks, as guard/remote/wire.py writes it.
local function asked(blob)
  local seen_at, lease_s, token, flags, bills, at = struct.unpack('<ddc8BB', blob)
  local ask = {seen_at = seen_at, lease_s = lease_s, token = token, charges = {}, slots = {}, owed = {}}
  local names, charges, slots = {'h'}, ask.charges, ask.slots
  for _ = 1, bills do
    local costs = {}
    local factor, how, many, held
    costs[0], costs[1], costs[2], factor, how, many, held, at = struct.unpack('<ddddBHH', blob, at)
    local book, within = how % 2 == 1, how >= 2
    for _ = 1, many do
      local id, spill, amount, rate, bits, limit
      id, spill, amount, rate, bits, limit, at = struct.unpack('<c8c8ddBc4', blob, at)
      local place = bits % 4
      charges[#charges + 1] = {
        id = id, spill = within and spill, cost = costs[place], capacity = amount * factor, rate = rate * factor,
        estimate = place > 0, shadow = bits >= 4, limit = limit, book = book,
      }
    end
    for _ = 1, held do
      local id, most, shadow, limit
      id, most, shadow, limit, at = struct.unpack('<c8dBc4', blob, at)
      if factor ~= 1 then most = math.max(1, math.floor(most * factor)) end
      slots[#slots + 1] = {name = 's' .. id, most = most, shadow = shadow > 0, limit = limit, book = book}
    end
  end
  for number = 1, #charges do names[#names + 1] = charges[number].id end
  for number = 1, #slots do names[#names + 1] = slots[number].name end
  if flags % 2 == 1 then
    ask.bases = {}
    for number = 1, #charges do
      ask.bases[number], at = struct.unpack('<d', blob, at)
      if ask.bases[number] > 0 then ask.used = true end
    end
  end
  if flags >= 2 then
    local rows
    ask.outage, rows, at = struct.unpack('<c8H', blob, at)
    for number = 1, rows do
      local row = {}
      row.id, row.base, row.delta, row.rate, at = struct.unpack('<c8ddd', blob, at)
      ask.owed[number] = row
      names[#names + 1] = row.id
    end
  end
  ask.names = names
  return ask
end

local function listed(value, size)
  if value and #value % size == 0 then return value end
  if value then healed = healed + 1 end
  return ''
end

-- What was added to each meter since writes were lost.
local function added_of(value)
  local added = {}
  value = listed(value, 16)
  for at = 1, #value, 16 do
    local id, amount = struct.unpack('<c8d', value, at)
    if amount >= 0 and amount <= LEVEL_MAX then added[id] = amount end
  end
  return added
end

-- Finds room for fields that are new in a full record: drained meters go.
local function swept(key, header, asking)
  header.swept, header.dirty = now, true
  local all, gone = redis.call('HGETALL', key), {}
  for at = 1, #all, 2 do
    local name = all[at]
    if #name == 8 and not asking[name] then
      local meter = meter_of(all[at + 1])
      if not meter or (meter.level == 0 and #meter.trail == 0) then gone[#gone + 1] = name end
    elseif #name == 9 and not asking[name] and #slots_of(all[at + 1], FOREVER_S) == 0 then
      gone[#gone + 1] = name
    end
  end
  for first = 1, #gone, 100 do redis.call('HDEL', key, unpack(gone, first, math.min(first + 99, #gone))) end
end

-- A meter that a record lacks: as full as the fullest of its siblings, or the one that many share where there is no room.
local function newcomer(key, charge, full)
  if full and charge.spill then
    charge.id = charge.spill
    local shared = meter_of(redis.call('HGET', key, charge.id))
    if shared then
      if shared.rate > charge.rate and shared.level > 0 then charge.rate = shared.rate end
      return shared
    end
  end
  local level, siblings = 0, {}
  for ordinal = 0, 7 do siblings[ordinal + 1] = string.sub(charge.id, 1, 7) .. string.char(ordinal) end
  for _, value in ipairs(redis.call('HMGET', key, unpack(siblings))) do
    local sibling = meter_of(value)
    if sibling and sibling.level > level then level = sibling.level end
  end
  return {level = level, as_of = now, rate = charge.rate, trail = {}}
end

-- What was lost is made good: the level is no lower than what was seen of it before, and what came since.
local function restored(meter, base, since)
  if meter.level - since >= base then return false end
  meter.level = math.min(base + since, LEVEL_MAX)
  meter.dirty = true
  return true
end

local function take(key, blob)
  local ask = asked(blob)
  local found, failure = fields_of(key, ask.names)
  if failure then return nil, failure end
  local header = header_of(found[1])
  local fresh = not header
  if fresh then header = {touched = 0, hits = 0, lost_at = 0, till = now, swept = 0, born = now, mark = ask.token} end
  local dirty = header.dirty
  -- A record that is gone because all in it had drained is no loss; an older copy of one that is there always is.
  local lost = ask.seen_at > header.touched and (not fresh or ask.used)
  local reborn = header.born > ask.seen_at and header.lost_at == 0
  local missed = lost or reborn or header.lost_at > ask.seen_at
  local added, debts, found_lost = {}, '', lost
  if header.lost_at > 0 and not lost then added = added_of(redis.call('HGET', key, 'a')) end
  local function made_good(id, meter, base)
    local since = added[id] or 0
    -- Made anew by somebody who had seen nothing in it: all that is in it came since, and so did what has drained.
    if reborn and not lost then since = meter.level + meter.rate * math.max(0, now - header.born) end
    if restored(meter, base, since) then
      added[id] = since
      found_lost = true
    end
  end

  -- the meters, drained to now
  local meters, charges = {}, ask.charges
  local full
  for number = 1, #charges do
    local charge = charges[number]
    local meter = meters[charge.id]
    if not meter then
      meter = meter_of(found[number + 1])
      if not meter then
        if fresh then
          meter = {level = 0, as_of = now, rate = charge.rate, trail = {}}
        else
          if full == nil then
            full = redis.call('HLEN', key) >= FIELDS_MOST
            if full and now > header.swept + 1 then
              local asking = {}
              for _, name in ipairs(ask.names) do asking[name] = true end
              swept(key, header, asking)
              full = redis.call('HLEN', key) >= FIELDS_MOST
              dirty = true
            end
          end
          meter = newcomer(key, charge, full)
          meter = meters[charge.id] or meter
        end
      end
      meters[charge.id] = meter
    end
    charge.meter = meter
    if missed and ask.bases and ask.bases[number] > 0 then
      made_good(charge.id, meter, ask.bases[number])
    end
    if meter.rate ~= charge.rate then
      meter.rate = charge.rate
      if meter.there then meter.dirty = true end
    end
  end
  if ask.outage then
    debts = listed(redis.call('HGET', key, 'o'), 16)
    local kept, known = {}, false
    for at = 1, #debts, 16 do
      local outage, when = struct.unpack('<c8d', debts, at)
      if outage == ask.outage then known = true end
      if when > now - MARGIN_S then kept[#kept + 1] = struct.pack('<c8d', outage, when) end
    end
    if not known then
      kept[#kept + 1] = struct.pack('<c8d', ask.outage, now)
      for number, row in ipairs(ask.owed) do
        local meter = meters[row.id]
        if not meter then
          meter = meter_of(found[1 + #charges + #ask.slots + number])
            or {level = 0, as_of = now, rate = row.rate, trail = {}}
          meters[row.id] = meter
        end
        if (missed or fresh) and row.base > 0 then made_good(row.id, meter, row.base) end
        noted(meter)
        local level = math.min(math.max(meter.level + row.delta, 0), LEVEL_MAX)
        if found_lost or header.lost_at > 0 then
          added[row.id] = math.max(0, (added[row.id] or 0) + level - meter.level)
        end
        meter.level = level
        meter.dirty = true
      end
      debts = table.concat(kept)
      dirty = true
    end
  end

  -- room
  local refused, longest_s, lacking, spared = -1, -1, {}, {}
  for number = 1, #charges do
    local charge = charges[number]
    local level, cost, capacity = charge.meter.level, charge.cost, charge.capacity
    local room = capacity >= cost and capacity or cost
    if not (level + cost <= room * ROOM) or cost == math.huge or not (capacity > 0) then
      local wait_s = FOREVER_S
      if capacity > 0 and charge.rate > 0 and cost <= COST_MAX then
        wait_s = math.min(math.max(0, level + cost - room) / charge.rate + GRAIN_S, FOREVER_S)
      end
      if charge.shadow then
        lacking[#lacking + 1] = number - 1
        spared[charge.limit] = true
      elseif wait_s > longest_s then
        refused, longest_s = number - 1, wait_s
      end
    end
  end
  local slots = ask.slots
  for number = 1, #slots do
    local slot = slots[number]
    slot.held = slots_of(found[1 + #charges + number], 2 * math.max(ask.lease_s, 86400))
    slot.count = #slot.held
    if slot.count + 1 > slot.most then
      if slot.shadow then
        lacking[#lacking + 1] = #charges + number - 1
        spared[slot.limit] = true
      elseif longest_s < 1 then
        refused, longest_s = #charges + number - 1, 1
      end
    end
  end

  -- what is taken
  local changes, levels = {}, {}
  if refused < 0 and #charges + #slots > 0 then
    local booked = false
    for number = 1, #charges do
      local charge = charges[number]
      local meter, cost = charge.meter, charge.cost
      if charge.book and not spared[charge.limit] then
        if charge.estimate then
          if cost > 0 then
            if #meter.trail == 0 or meter.level == 0 then
              meter.trail = {meter.as_of}
            else
              meter.trail = enter(whole(meter.trail, meter.level), meter.level, meter.level + cost, meter.as_of)
            end
          end
        else
          noted(meter)
        end
        meter.level = meter.level + cost
        if found_lost or header.lost_at > 0 then added[charge.id] = (added[charge.id] or 0) + cost end
        if meter.level > 0 or not meter.there then meter.dirty = true end
        booked = true
      end
    end
    for number = 1, #slots do
      local slot = slots[number]
      if slot.book and not spared[slot.limit] then
        slot.held[#slot.held + 1] = {ask.token, now + ask.lease_s}
        slot.count = slot.count + 1
        changes[#changes + 1] = slot.name
        changes[#changes + 1] = slots_written(slot.held)
        header.till = math.max(header.till, now + ask.lease_s)
        booked = true
      end
    end
    if booked then
      header.hits = header.hits + 1
      dirty = true
    end
  end
  for id, meter in pairs(meters) do
    if meter.dirty then
      changes[#changes + 1] = id
      changes[#changes + 1] = written(meter)
      header.till = math.max(header.till, ends(meter))
      dirty = true
    end
  end
  -- Once for each loss: who has seen the record since then has seen what was added since, too.
  if found_lost and (lost or header.lost_at == 0) and (dirty or #changes > 0) then header.lost_at = now end
  if dirty then
    if header.lost_at > 0 then
      local parts = {}
      for id, amount in pairs(added) do parts[#parts + 1] = struct.pack('<c8d', id, amount) end
      changes[#changes + 1] = 'a'
      changes[#changes + 1] = table.concat(parts)
    end
    if ask.outage then
      changes[#changes + 1] = 'o'
      changes[#changes + 1] = debts
    end
    failure = write(key, header, changes)
    if failure then return nil, failure end
  end
  for number = 1, #charges do levels[number] = struct.pack('<d', charges[number].meter.level) end
  for number = 1, #slots do levels[#levels + 1] = struct.pack('<d', slots[number].count) end
  for number = 1, #lacking do lacking[number] = struct.pack('<H', lacking[number]) end
  -- Nothing there: it was seen now that there is nothing.
  local touched = header.touched > 0 and header.touched or now
  return struct.pack('<BiddddHc8', 0, refused, longest_s < 0 and 0 or longest_s, header.hits, touched,
    header.lost_at, #lacking, header.mark) .. table.concat(levels) .. table.concat(lacking)
end

clock(ARGV[1])
for number = 1, #KEYS do
  local outcome, failure = take(KEYS[number], ARGV[number + 1])
  if failure then
    -- Nothing was done yet: the whole call failed. Else those that are left did.
    if number == 1 then return failure end
    outcome = struct.pack('<B', 1)
  end
  outcomes[number] = outcome
end
return struct.pack('<dI', now, healed) .. table.concat(outcomes)
