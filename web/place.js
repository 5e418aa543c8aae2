/* A conversation that questions are asked in, and those of its questions that the server has not confirmed: it stays the same whatever
 * the page shows by the time they are sent. chat.js shows one place and keeps the others that have such questions. */

export class Place {
  constructor(session) {
    this.session = session; /* null: the start page, until a first question makes one */
    this.start = null; /* what that session is made from, the same on every try: {text, key} */
    this.opening = null; /* what was said before is on the page, or could not be read */
    this.own = new Map(); /* questions the server has not confirmed: clientMessageId to {element, isSending} */
    this.last = Promise.resolve(); /* the end of what was sent last */
  }

  /* Does `work` when all that was given before has ended, however it did: questions arrive in the order they were asked in. */
  inTurn(work) {
    const turn = this.last.then(work);
    this.last = turn.catch(() => {});
    return turn;
  }

  /* Resolves when no opening of this place is under way. */
  async opened() {
    let waited = null;
    while (waited !== this.opening) {
      waited = this.opening;
      await waited;
    }
  }
}
