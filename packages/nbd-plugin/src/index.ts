export * from './plugin.js';
export {
  PLUGIN_API_VERSION,
  type Module,
  type ModuleDefinition,
  type PluginInput,
  type PluginValues,
  type RestOption,
} from './define-module.js';
export { definePlugin, isPluginModule, type PluginDefinition, type PluginModule } from './define-plugin.js';
export {
  defineFilter,
  isFilterModule,
  liftDevice,
  type Filter,
  type FilterDefinition,
  type FilterModule,
} from './define-filter.js';
export { overridePlugin } from './override-plugin.js';
export { describeParameters, type ParameterDescription } from './describe-parameters.js';
export type { GivenValues, Parameter, Parameters, ParameterValues } from './parameter.js';
export {
  boolean,
  choice,
  integer,
  list,
  number,
  parameterType,
  path,
  size,
  string,
  type ParameterMaker,
} from './parameter-types.js';
export type { ParameterOptions, RangeOptions, Scalar, ValueType } from './value-type.js';
