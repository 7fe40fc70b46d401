// One run: one competitor, one scenario, one fresh process. The driver starts it and reads the one line it prints.
//   node child/main.mjs <competitor file> <variant> <scenario file> <params as JSON>
import { writeSync } from 'node:fs'

const [competitorFile, variant, scenarioFile, params] = process.argv.slice(2)
const scenario = await import(scenarioFile)
const competitor = await import(competitorFile)

const result = await scenario.run(competitor, { ...JSON.parse(params), variant: variant || undefined })

// Synchronous, and then gone: no competitor's shutdown is part of any measurement (one of them sometimes hangs there).
writeSync(1, `BENCH ${JSON.stringify(result)}\n`)
process.exit(0)
