-- A replica is alive: how many are. And whether a newer guard keeps its records here in another layout. And what each tells the
-- others of accounts that were refused (guard/remote/hearsay.py): after the moment, which is the server's.

local now = tonumber(ARGV[3])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local alive, layout, near, replica, mine, says = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), ARGV[4]
for _, key in ipairs({alive, layout, near}) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= (key == layout and 'string' or 'hash') then redis.call('UNLINK', key) end
end
local found = tonumber(redis.call('GET', layout) or 0) or 0
if found > mine then return {found, 0, tostring(now)} end
redis.call('SET', layout, mine, 'EX', 2592000)
redis.call('HSET', alive, replica, string.format('%.3f', now))
redis.call('EXPIRE', alive, 60)
local all, count = redis.call('HGETALL', alive), 0
for at = 1, #all, 2 do
  local seen = tonumber(all[at + 1]) or 0
  if seen < now - 3.5 or seen > now + 60 then redis.call('HDEL', alive, all[at]) else count = count + 1 end
end
if says == '' then
  redis.call('HDEL', near, replica)
else
  redis.call('HSET', near, replica, struct.pack('<d', now) .. says)
  redis.call('EXPIRE', near, 60)
end
local told, others = redis.call('HGETALL', near), {}
for at = 1, #told, 2 do
  local moment = #told[at + 1] >= 8 and struct.unpack('<d', told[at + 1]) or 0
  if not (moment >= now - 60 and moment <= now + 60) then
    redis.call('HDEL', near, told[at])
  elseif told[at] ~= replica then
    others[#others + 1] = told[at + 1]
  end
end
return {found, count, string.format('%.6f', now), others}
