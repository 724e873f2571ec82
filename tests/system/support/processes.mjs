// SPDX-License-Identifier: MIT
// How the run's processes end. Each is watched from its start; an end that the plan did not cause,
// by a signal that it did not send, with an exit status that is not 0, or after words of a sanitizer
// or an assertion, is a problem, which shows the tail of standard error.

import { within } from '../../e2e/support/deadline.mjs';

const TAIL_LINES = 25;
const ERRORS_MAX = 1 << 20; // characters of standard error that are kept of a process
const DEATHS_MAX = 50; // then the run ends
const COMPLAINT = /\w+Sanitizer|runtime error:|Assertion .*failed/;

/**
 * What is wrong with the end of a process, as text; null: nothing. `ending` is how the plan ended it:
 * 'SIGKILL'; 'SIGTERM' or 'end' (of its input), after which it ends in good order; undefined: it did not.
 */
export function faultOf(ending, { code, signal }, errors = '') {
  const complaint = errors.match(COMPLAINT);
  if (complaint) return `said "${complaint[0]}" (ended with ${signal ?? code})`;
  if (ending === 'SIGKILL' && signal === 'SIGKILL') return null;
  if (ending === undefined || ending === 'SIGKILL' || signal) return `ended by itself with ${signal ?? `status ${code}`}`;
  return code === 0 ? null : `ended with status ${code} when it was told to end`;
}

export function tail(text) {
  return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
}

export class Processes {
  /** `report(problem)` takes an object in the form of Consumer's problems. */
  constructor(report) {
    this.report = report;
    this.deaths = {}; // by what it was: how many ended with a fault
    this.watched = 0;
  }

  get count() {
    return Object.values(this.deaths).reduce((sum, each) => sum + each, 0);
  }

  /**
   * Watches a Program under a name, "gateway 0" or the like, whose first word says what it is.
   * `onDeath` is called, after the report, if it ends and the plan did not end it.
   */
  watch(program, name, onDeath = () => {}) {
    this.watched++;
    program.child.stderr?.on('data', () => {
      if (program.errors.length > 2 * ERRORS_MAX) program.errors = program.errors.slice(-ERRORS_MAX);
    });
    program.judged = this.judge(program, name, onDeath);
    return program;
  }

  async judge(program, name, onDeath) {
    const result = await program.exit;
    await program.closed; // standard error is read to its end
    const fault = faultOf(program.ending, result, program.errors);
    if (!fault) return;
    const kind = name.split(' ')[0];
    this.deaths[kind] = (this.deaths[kind] ?? 0) + 1;
    this.report({ consumer: name, session: '', origin: '', what: fault, expected: program.ending ?? 'to run', came: tail(program.errors ?? '') });
    if (!program.ending) await onDeath();
    if (this.count >= DEATHS_MAX) throw new Error(`${this.count} processes ended with a fault`);
  }

  /** Ends a watched program as `ending` says (see faultOf), and waits until it is judged. */
  async end(program, ending) {
    program.ending ??= ending;
    if (ending === 'end') program.child.stdin.end();
    else if (program.child.exitCode === null && program.child.signalCode === null) program.child.kill(ending);
    await within(program.judged, `end of ${program.name}`);
  }
}
