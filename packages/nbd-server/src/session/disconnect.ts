/**
 * The client broke a rule, and there is no way left to tell it so: the connection ends. Protocol document,
 * "Termination of the session during option haggling", "Terminating the transmission phase".
 */
export class HardDisconnect extends Error {
  override readonly name = 'HardDisconnect';
}
