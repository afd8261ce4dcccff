-- Erases the meters of an account; how many. Slots in use come back when their answers end. For a minute it stays known when
-- that was, so that nobody takes it for a loss and restores what was erased.

clock(ARGV[1])
local key, mark = KEYS[1], ARGV[2]
local found, failure = fields_of(key, {'h'})
if failure then return failure end
local gone, till, erased = {'a', 'o'}, now, 0
for _, name in ipairs(redis.call('HKEYS', key)) do
  if #name == 8 then
    gone[#gone + 1] = name
    erased = erased + 1
  elseif #name == 9 then
    for _, slot in ipairs(slots_of(redis.call('HGET', key, name), FOREVER_S)) do till = math.max(till, slot[2]) end
  elseif name ~= 'h' then
    gone[#gone + 1] = name
  end
end
for first = 1, #gone, 100 do redis.call('HDEL', key, unpack(gone, first, math.min(first + 99, #gone))) end
local header = {touched = now, hits = 0, lost_at = 0, till = till, swept = 0, born = 0, mark = mark}
failure = write(key, header, {})
if failure then return failure end
return erased
