/**
 * A driver of detached jobs, in a process of its own that can be killed. SIGTERM ends it.
 *
 * usage: node --import tsx test/chaos/driver.ts <link>
 */
import { Driver } from '../../src/detached/driver.ts'

const [link = ''] = process.argv.slice(2)
const say = (event: object): void => console.log(JSON.stringify({ at: Date.now(), ...event }))

let leaving = false
let driver: Driver | undefined
process.on('SIGTERM', () => {
  leaving = true
  void driver?.stop()
})
// The server may be away when it starts, as with a service that is started again and again.
while (!driver && !leaving) {
  try {
    driver = await Driver.start(link, {
      onEvent: (event) => say(event.type === 'trouble' ? { ...event, error: String(event.error) } : event),
    })
  } catch (error) {
    say({ type: 'failed', error: String(error) })
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
if (leaving) await driver?.stop()
