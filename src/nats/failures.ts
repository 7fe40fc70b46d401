/** Errors of the client library, told apart by name: it is loaded only when a connection is opened. */

import { DicompError } from '../errors.ts'

/** The connection was lost while something was under way. It comes back. */
export class LostConnection extends Error {
  constructor() {
    super('the connection was lost')
  }
}

/** Nobody listens to the subject: for JetStream, that a stream is not there (or the server has just started). */
export const isNoResponders = (error: unknown): boolean => isNamed(error, 'NoResponders')

/** The credentials do not allow it. */
export const isDenied = (error: unknown): boolean => isNamed(error, 'PermissionViolationError')

/** The server does not know the credentials, or not any more. */
export const isUnknownUser = (error: unknown): boolean =>
  isNamed(error, 'AuthorizationError', 'UserAuthenticationExpiredError')

/** No answer in time. */
export const isTimeout = (error: unknown): boolean => isNamed(error, 'TimeoutError')

/** It may work when it is tried again. */
export const isPassing = (error: unknown): boolean =>
  error instanceof LostConnection ||
  (isNamed(error, 'NoResponders', 'TimeoutError', 'RequestError') &&
    !isDenied(error) &&
    !(error instanceof DicompError))

/** Errors of requests have what happened as their cause. */
function isNamed(error: unknown, ...names: string[]): boolean {
  const { name, cause } = error as Error
  return names.includes(name) || names.includes((cause as Error | undefined)?.name ?? '')
}
