/** The command line on a real terminal, which `script` (util-linux) provides. */
import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Screen } from '../progress/screen.ts'
import { CLI, fixture, temporary, until } from './command.ts'

const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0

function onTerminal(args: string[]) {
  const command = [process.execPath, CLI, ...args].map((arg) => `'${arg}'`).join(' ')
  const child = spawn('script', ['-qefc', `stty cols 80 rows 20; exec ${command}`, '/dev/null'], {
    env: { ...process.env, CI: '', NO_COLOR: '1', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const seen = { text: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk) => (seen.text += chunk))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { seen, ended, type: (text: string) => child.stdin.write(text) }
}

function screenOf(text: string): string {
  const screen = new Screen()
  screen.write(text)
  return screen.text
}

test.runIf(hasScript)('a live line is drawn in place, and what the program prints is whole', async () => {
  const dir = temporary()
  writeFileSync(
    join(dir, 'app.mjs'),
    `import { channel } from 'node:diagnostics_channel'
     const began = Date.now()
     const elapsedMs = () => Date.now() - began
     const job = {
       name: 'render', get state() { return elapsedMs() < 1490 ? 'running' : 'done' }, done: new Promise((resolve) => setTimeout(resolve, 1500)),
       get progress() { return { total: 15, done: Math.floor(elapsedMs() / 100), failed: 0, running: 1, slots: 2, rate: 10, etaMs: 1500 - elapsedMs(), elapsedMs: elapsedMs() } },
     }
     channel('dicomp:job').publish({ job })
     const timer = setInterval(() => console.log('printed at', elapsedMs()), 90)
     await job.done
     clearInterval(timer)`,
  )
  const { seen, ended } = onTerminal(['run', join(dir, 'app.mjs')])
  expect(await ended).toBe(0)
  expect(seen.text).toMatch(/render {2}[█▏▎▍▌▋▊▉░]+ {2}\d+% {2}\d+\/15 {2}10\.0\/s {2}ETA .* {2}1\/2 slots/)
  const lines = screenOf(seen.text).split('\n')
  expect(lines.filter((line) => /^printed at \d+$/.test(line)).length).toBeGreaterThan(5)
  expect(lines.filter((line) => !/^printed at \d+$/.test(line))).toEqual([
    expect.stringMatching(/^✔ {2}render {2}15 done in 1\.5 s/),
  ])
})

test.runIf(hasScript)('Ctrl-C typed into the terminal stops a map in good order', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'in.jsonl'), Array.from({ length: 20_000 }, (_, n) => `{"n":${n}}\n`).join(''))
  const { seen, ended, type } = onTerminal([
    'map',
    fixture('logged.ts'),
    '-i',
    join(dir, 'in.jsonl'),
    '-o',
    join(dir, 'out.jsonl'),
  ])
  await until(() => /logged\.ts .*\d+%/.test(seen.text))
  type('\u0003')
  expect(await ended).toBe(130)
  expect(screenOf(seen.text)).toMatch(/Stopped by SIGINT\.\n[\d,]+ lines are done and saved/)
})

test.runIf(hasScript)('Ctrl-C reaches the program of `run` once', async () => {
  const dir = temporary()
  writeFileSync(
    join(dir, 'app.mjs'),
    `let count = 0
     process.on('SIGINT', () => { count++; setTimeout(() => { console.log('interrupts:', count); process.exit(3) }, 300) })
     setInterval(() => {}, 1000)
     console.log('ready')`,
  )
  const { seen, ended, type } = onTerminal(['run', join(dir, 'app.mjs')])
  await until(() => seen.text.includes('ready'))
  type('\u0003')
  expect(await ended).toBe(3)
  expect(seen.text).toContain('interrupts: 1')
})
