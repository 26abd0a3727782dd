export * from './plugin.js';
export {
  definePlugin,
  isPluginModule,
  PLUGIN_API_VERSION,
  type PluginDefinition,
  type PluginInput,
  type PluginModule,
  type PluginValues,
  type RestOption,
} from './define-plugin.js';
export { describeParameters, type ParameterDescription } from './describe-parameters.js';
export type { GivenValues, Parameter, Parameters, ParameterValues } from './parameter.js';
export {
  boolean,
  choice,
  integer,
  list,
  number,
  path,
  size,
  string,
  type ParameterMaker,
} from './parameter-types.js';
export type { ParameterOptions, RangeOptions } from './value-type.js';
