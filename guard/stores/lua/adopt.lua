-- One record goes on with what stood in another one, under its former name: levels are summed, slots are joined. Each record is
-- adopted once: its mark stays in field "c". ARGV: clock, the former record's mark, then its fields and their values.

clock(ARGV[1])
local key, from = KEYS[1], ARGV[2]
local found, failure = fields_of(key, {'h', 'c'})
if failure then return failure end
local before = found[2] or ''
if #before % 8 ~= 0 then
  healed = healed + 1
  before = ''
end
for at = 1, #before, 8 do
  if string.sub(before, at, at + 7) == from then return 0 end
end
local header = header_of(found[1])
  or {touched = 0, hits = 0, lost_at = 0, till = now, swept = 0, born = now, mark = from}
local changes, done = {'c', string.sub(before .. from, -64)}, 0
for at = 3, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  if #name == 8 then
    local meter = meter_of(value)
    if meter and meter.level > 0 then
      local own = meter_of(redis.call('HGET', key, name))
      if own then
        noted(own)
        own.level = math.min(own.level + meter.level, LEVEL_MAX)
        meter = own
      end
      changes[#changes + 1] = name
      changes[#changes + 1] = written(meter)
      header.till = math.max(header.till, ends(meter))
      done = done + 1
    end
  elseif #name == 9 and string.sub(name, 1, 1) == 's' then
    local held = slots_of(redis.call('HGET', key, name), FOREVER_S)
    for _, slot in ipairs(slots_of(value, FOREVER_S)) do
      held[#held + 1] = slot
      header.till = math.max(header.till, slot[2])
    end
    if #held > 0 then
      changes[#changes + 1] = name
      changes[#changes + 1] = slots_written(held)
    end
  elseif name == 'h' then
    local former = header_of(value)
    if former then header.hits = header.hits + former.hits end
  end
end
failure = write(key, header, changes)
if failure then return failure end
return done
