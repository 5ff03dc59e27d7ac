-- Allocates and drops trees, strings and tables.
local function tree(depth)
  if depth == 0 then return {} end
  return { tree(depth - 1), tree(depth - 1) }
end
local function count(t)
  if not t[1] then return 1 end
  return 1 + count(t[1]) + count(t[2])
end
local times = tonumber(arg[1] or 1)
for depth = 4, 14, 2 do
  local sum = 0
  for _ = 1, times << (15 - depth) do sum = sum + count(tree(depth)) end
  print(depth, sum)
end
local parts = {}
for i = 1, 100000 * times do parts[#parts + 1] = string.format("%d:%s", i, ("x"):rep(i % 50)) end
local text = table.concat(parts, ";")
print(#text, select(2, text:gsub("x+", "")))
table.sort(parts)
print(parts[1], parts[#parts])
collectgarbage()
