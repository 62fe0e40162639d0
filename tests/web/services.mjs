// Services as the watch tells them, for the tests beside this.

export function info(more = {}) {
  return {
    service_id: "s1",
    service_name: "calc",
    agent_id: "ada",
    namespace: "default",
    zone: "eu-1",
    version: "1.2.0",
    capabilities: ["math.add", "math.multiply"],
    tags: ["gpu"],
    metadata: { owner: "ann", pid: 7 },
    status: "SERVICE_STATUS_HEALTHY",
    status_reasons: [{ code: "STATUS_REASON_CODE_STREAM_OPEN", since: "2026-11-28T12:00:00Z" }],
    ready: true,
    max_concurrency: 4,
    ...more,
  };
}

export const fallen = (more = {}) =>
  info({
    status: "SERVICE_STATUS_UNHEALTHY",
    status_reasons: [{ code: "STATUS_REASON_CODE_DISCONNECTED", since: "2026-11-28T12:00:01Z" }],
    ready: false,
    ...more,
  });

export const late = (more = {}) =>
  info({ status_reasons: [{ code: "STATUS_REASON_CODE_LATE" }, { code: "STATUS_REASON_CODE_STREAM_OPEN" }], ...more });
