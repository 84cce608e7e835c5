-- One request's balances, all of them at once. The arithmetic is that of `bucket.rs`, told by what is
-- used instead of what is left: a balance that is full is not there.
--
-- KEYS: the request's mark, then its balances.
-- ARGV: verb, the time in ms (empty: the clock of this server), and for each balance
--       capacity, window in ms, tick in ms, amount, whether it may refuse.
-- Amounts are thousandths; every number stays below 2^53, where a double is exact.
--
-- reserve: takes the amounts of all balances or of none.
-- extend:  what the request holds becomes the amounts, if they are more.
-- close:   what the request holds becomes the amounts, and it ends. A request that is not known held
--          nothing. Whatever is said of it later is not heard, so that saying it twice changes nothing.
local OPEN_MS, CLOSED_MS, SPARE_MS, FIELDS = 3600000, 900000, 60000, 5

local verb, mark = ARGV[1], KEYS[1]
local now
if ARGV[2] ~= '' then
  now = tonumber(ARGV[2])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(a, b) return (a - math.fmod(a, b)) / b end
local function digits(n) return string.format('%.0f', n) end

local function fill(it, at)
  it.at = whole(now, it.tick)
  local ticks = whole(it.window, it.tick)
  local passed = it.at - at
  if passed <= 0 then
    it.at = at
    return
  end
  local part = math.fmod(passed, ticks)
  local sum = math.fmod(it.capacity, ticks) * part + it.rest
  it.rest = math.fmod(sum, ticks)
  it.used = it.used - whole(passed, ticks) * it.capacity - whole(it.capacity, ticks) * part - whole(sum, ticks)
  if it.used <= 0 then
    it.used, it.rest = 0, 0
  end
end

local function read(number)
  local at = 2 + (number - 1) * FIELDS
  local it = {
    key = KEYS[number + 1],
    capacity = tonumber(ARGV[at + 1]),
    window = tonumber(ARGV[at + 2]),
    tick = tonumber(ARGV[at + 3]),
    amount = tonumber(ARGV[at + 4]),
    refuses = ARGV[at + 5] == '1',
  }
  local kept = redis.call('HMGET', it.key, 'used', 'rest', 'at')
  it.used = tonumber(kept[1] or '0')
  it.rest = tonumber(kept[2] or '0')
  fill(it, tonumber(kept[3] or '0'))
  return it
end

local function write(it)
  if it.used <= 0 then
    redis.call('DEL', it.key)
    return
  end
  redis.call('HSET', it.key, 'used', digits(it.used), 'rest', digits(it.rest), 'at', digits(it.at))
  local windows = it.capacity > 0 and it.used / it.capacity or 1
  redis.call('PEXPIRE', it.key, digits(math.min(math.ceil(windows * it.window) + SPARE_MS, 2 ^ 46)))
end

local function take(it, amount)
  it.used = it.used + amount
  if it.used <= 0 then
    it.used, it.rest = 0, 0
  end
end

local balances = {}
for number = 1, #KEYS - 1 do
  balances[number] = read(number)
end

local function answer(word)
  local all = { word }
  for number, it in ipairs(balances) do
    all[number + 1] = it.used
  end
  return all
end

local state = redis.call('HGET', mark, 'state')

if verb == 'reserve' then
  if state then
    return answer(-1)
  end
  for _, it in ipairs(balances) do
    if it.refuses and it.capacity - it.used < it.amount then
      return answer(0)
    end
  end
  for number, it in ipairs(balances) do
    take(it, it.amount)
    write(it)
    redis.call('HSET', mark, number, digits(it.amount))
  end
  redis.call('HSET', mark, 'state', 'open')
  redis.call('PEXPIRE', mark, OPEN_MS)
  return answer(1)
end

if state == 'closed' then
  return answer(-1)
end
for number, it in ipairs(balances) do
  local held = tonumber(redis.call('HGET', mark, number) or '0')
  local more = it.amount - held
  if verb == 'close' or more > 0 then
    take(it, more)
    write(it)
    redis.call('HSET', mark, number, digits(it.amount))
  end
end
if verb == 'close' then
  redis.call('DEL', mark)
  redis.call('HSET', mark, 'state', 'closed')
  redis.call('PEXPIRE', mark, CLOSED_MS)
else
  redis.call('HSET', mark, 'state', 'open')
  redis.call('PEXPIRE', mark, OPEN_MS)
end
return answer(1)
