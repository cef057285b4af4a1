# %% [markdown]
# Coroutines: fetchers that wait, a queue, and what happens when one of them fails.

# %%
import asyncio
import contextlib
import time

# %%
await asyncio.sleep(0)


# %%
async def fetch(name, delay=0.01):
    await asyncio.sleep(delay)
    return name.upper()


# %%
page = await fetch("index")
page

# %%
pages = await asyncio.gather(*(fetch(name, 0.01 * place) for place, name in enumerate("cab")))
pages

# %%
finished = []


async def noted(name, delay):
    finished.append(await fetch(name, delay))


# %%
async with asyncio.TaskGroup() as group:
    for name, delay in (("slow", 0.05), ("fast", 0.0)):
        group.create_task(noted(name, delay))
finished


# %%
async def ticks(n):
    for tick in range(n):
        await asyncio.sleep(0)
        yield tick


squares = [tick**2 async for tick in ticks(5)]
squares

# %%
async for tick in ticks(3):
    print("tick", tick)

# %%
await asyncio.wait_for(fetch("never", 10), 0.01)

# %%
outcome = await asyncio.gather(fetch("good"), fetch(None), return_exceptions=True)
outcome

# %%
queue = asyncio.Queue()
for each in range(4):
    queue.put_nowait(each)
drained = [await queue.get() for _ in range(queue.qsize())]
sum(drained)


# %%
@contextlib.asynccontextmanager
async def timed(label):
    started = time.perf_counter()
    yield
    print(label, time.perf_counter() - started < 5)


# %%
async with timed("nap"):
    await asyncio.sleep(0.01)

# %%
limit = asyncio.Semaphore(2)


async def limited(value):
    async with limit:
        return value * 2


# %%
sorted(await asyncio.gather(*map(limited, range(4))))

# %%
asyncio.get_running_loop().is_running()

# %%
async with asyncio.TaskGroup() as group:
    group.create_task(fetch(3))
