/**
 * Key of a static method `(instance) => plain` of a class whose instances have state that the codec cannot see
 * (private members, handles): what it returns travels in place of the instance.
 */
export const pack: unique symbol = Symbol.for('dicomp.pack') as never

/** Key of the static method `(plain) => instance` that makes the instance again at the other end. */
export const unpack: unique symbol = Symbol.for('dicomp.unpack') as never
