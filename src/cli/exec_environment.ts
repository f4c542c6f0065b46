/**
 * The environment in which common tools use the proxy and trust its CA.
 *
 * Two kinds of trust variables: those that replace a tool's roots get a bundle of the system's roots and
 * our CA, so that tunnelled hosts still verify; those that add to them get our CA alone. What the user had
 * in such a variable is part of the bundle.
 */
import type { Environment } from "../runtime/config/directories.ts";
import { nodeOptions } from "./node_preload.ts";

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((
  name,
) => [name, name.toLowerCase()]);

/** Hosts in there would go past the proxy unseen. */
const EXCEPTION_VARIABLES = ["NO_PROXY", "no_proxy"];

/** A file here stands in place of the tool's own roots. */
const REPLACING_VARIABLES = [
  "SSL_CERT_FILE", // OpenSSL, Go, Ruby, rustls-native-certs, uv
  "CURL_CA_BUNDLE", // curl
  "REQUESTS_CA_BUNDLE", // Python requests
  "PIP_CERT", // pip
  "GIT_SSL_CAINFO", // git
  "CARGO_HTTP_CAINFO", // cargo
  "AWS_CA_BUNDLE", // AWS command line and SDKs
  "NIX_SSL_CERT_FILE", // Nix and what it builds
  "HTTPLIB2_CA_CERTS", // Python httplib2
  "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", // gcloud
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // gRPC
  "COMPOSER_CAFILE", // PHP Composer
  "BUNDLE_SSL_CA_CERT", // Ruby Bundler
];

/** A file here is trusted beside the tool's own roots. */
const ADDING_VARIABLES = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/** The user's own trust, which is kept. */
export const TRUST_VARIABLES: readonly string[] = [...REPLACING_VARIABLES, ...ADDING_VARIABLES];

/** What the command will find changed. */
export const REPLACED_VARIABLES: readonly string[] = [
  ...PROXY_VARIABLES,
  ...EXCEPTION_VARIABLES,
  ...TRUST_VARIABLES,
  "NODE_OPTIONS",
];

export interface ExecPlaces {
  readonly proxyUrl: string;
  readonly caCertPath: string;
  readonly bundlePath: string;
  readonly nodePreloadPath: string;
}

/** The variables to set; all others are inherited. */
export function execEnvironment(
  user: Environment,
  { proxyUrl, caCertPath, bundlePath, nodePreloadPath }: ExecPlaces,
): Record<string, string> {
  const environment: Record<string, string> = {
    NODE_USE_ENV_PROXY: "1",
    NODE_OPTIONS: nodeOptions(user["NODE_OPTIONS"], nodePreloadPath),
  };
  for (const name of PROXY_VARIABLES) environment[name] = proxyUrl;
  // A variable can be emptied but not taken away, and every tool reads an empty one as no exception.
  for (const name of EXCEPTION_VARIABLES) environment[name] = "";
  for (const name of REPLACING_VARIABLES) environment[name] = bundlePath;
  for (const name of ADDING_VARIABLES) environment[name] = isSet(user, name) ? bundlePath : caCertPath;
  return environment;
}

/** What the user should know of settings that do not reach the command. */
export function environmentWarnings(user: Environment): string[] {
  const warnings: string[] = [];
  const exceptions = EXCEPTION_VARIABLES.filter((name) => isSet(user, name));
  if (exceptions.length > 0) {
    warnings.push(
      `${exceptions.join(" and ")} emptied for the command, or those hosts would pass the proxy by`,
    );
  }
  const proxies = PROXY_VARIABLES.filter((name) => isSet(user, name));
  if (proxies.length > 0) {
    warnings.push(
      `${proxies.join(" and ")} replaced for the command; this proxy itself connects directly`,
    );
  }
  return warnings;
}

function isSet(environment: Environment, name: string): boolean {
  return (environment[name] ?? "") !== "";
}
