// import() of Node.js itself: in a file that vitest transforms it would be vitest's.
module.exports = (url) => import(url)
