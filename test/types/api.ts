// Compile-time tests of the public types: this file must compile, and every `@ts-expect-error` must be one.
import { connect, distribute, type Item, type Job, type Outcome, type SettledItem } from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A, B>(_same: Equal<A, B>): void => {}

interface City {
  name: string
  x: number
}

const square = distribute((x: number) => x * x)
const later = distribute(async (city: City, _scale?: number) => [city.name])
const two = distribute((a: number, b: string) => `${a}${b}`)
const none = distribute(() => 42)
const optional = distribute((x?: number) => x ?? 1)

// Arguments and results as the function has them, results never a promise of a promise.
is<ReturnType<typeof square>, Promise<number>>(true)
is<ReturnType<typeof later>, Promise<string[]>>(true)
is<Parameters<typeof two>, [a: number, b: string]>(true)
is<ReturnType<typeof none>, Promise<number>>(true)
// @ts-expect-error wrong argument
square('3')
// @ts-expect-error missing argument
two(1)
// @ts-expect-error wrong property
later({ name: 'x', y: 1 })

// Maps.
export async function maps(cities: City[], asyncCities: AsyncIterable<City>): Promise<void> {
  is<Awaited<ReturnType<typeof optional.settled>>, Outcome<number>[]>(true)
  const squares = await square.map([1, 2, 3])
  is<typeof squares, number[]>(true)
  const typed = await square.map(new Float64Array(3))
  is<typeof typed, Float64Array>(true)
  const texts = await distribute((x: number) => String(x)).map(new Int32Array(3))
  is<typeof texts, string[]>(true)
  is<Awaited<ReturnType<typeof later.map>>, string[][]>(true)
  await later.map(cities)
  await later.map(asyncCities)
  await later.map(new Set(cities))
  // @ts-expect-error inputs of another type
  await square.map(['a'])
  // @ts-expect-error a function that needs two arguments cannot be mapped over single inputs
  await two.map([1])
  // @ts-expect-error numbers for a function of objects
  await later.map(new Float64Array(3))

  for await (const item of later.stream(cities)) is<typeof item, Item<City, string[]>>(true)
  for await (const item of square.stream([1], { settled: true })) {
    is<typeof item, SettledItem<number, number>>(true)
    if (item.status === 'fulfilled') is<typeof item.value, number>(true)
    // @ts-expect-error a rejected item has no value
    else item.value
  }

  const job = square.submit([1, 2])
  is<typeof job, Job<number>>(true)
  is<Awaited<ReturnType<typeof job.results>>, number[]>(true)

  const again = later.with({ retries: 2, timeout: '30s' })
  is<typeof again, typeof later>(true)
  // @ts-expect-error no such option
  later.with({ retry: 2 })
  // @ts-expect-error not a level of isolation
  later.with({ isolation: 'vm' })

  await using cluster = await connect({ slots: 2 })
  const remote = cluster.distribute((x: number) => BigInt(x))
  is<ReturnType<typeof remote>, Promise<bigint>>(true)
  const here = remote.local(1)
  is<typeof here, bigint | Promise<bigint>>(true)

  const byModule = distribute.module<(x: number) => string>(new URL('./task.ts', import.meta.url))
  is<ReturnType<typeof byModule>, Promise<string>>(true)
}

// @ts-expect-error not a function
distribute(42)
