/** Before all tests: a nats-server, installed as `dicomp engine install` does it where there is none. */
import { ServerMissingError } from '../../src/errors.ts'
import { installServer } from '../../src/server/install.ts'

export default async function setup(): Promise<void> {
  try {
    const { path } = await installServer((line) => console.log(line))
    // For every test, whatever it does with PATH and DICOMP_HOME.
    process.env.DICOMP_NATS_SERVER = path
  } catch (error) {
    if (!(error instanceof ServerMissingError)) throw error
    // The tests that need it fail and say so; the others can run.
    console.error(error.message)
  }
}
