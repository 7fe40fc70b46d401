import { LocalEngine } from '../../src/engine/local.ts'
import { engineContract } from './contract.ts'

for (const isolation of ['thread', 'process'] as const) {
  engineContract(`local, ${isolation} slots`, async (slots) => {
    const engine = new LocalEngine({ slots })
    return { engine, isolation, close: () => engine.close() }
  })
}
