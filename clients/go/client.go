package mitosis

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

const (
	defaultTimeout = time.Minute
	// A batch of tasks and a page of results are larger than gRPC's own limit of 4 MiB.
	maxMessageBytes = 64 << 20
)

// Client makes calls to one coordinator. It is safe for use by many goroutines.
type Client struct {
	conn     *grpc.ClientConn
	retry    RetryPolicy
	suites   mitosisv1.SuiteServiceClient
	tasks    mitosisv1.TaskServiceClient
	managers mitosisv1.ManagerServiceClient
	workers  mitosisv1.WorkerServiceClient
	auth     mitosisv1.AuthServiceClient
	admin    mitosisv1.AdminServiceClient
}

// NewClient returns a client of the coordinator whose gRPC server is at an address of the form "host:port".
//
// It connects with the first call, and again whenever a connection broke. Without options it has no token and speaks
// plain text to loopback addresses and TLS to all others. Close it when it is no longer needed.
func NewClient(address string, options ...Option) (*Client, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, refuse("address", "given %q; accepts host:port of the coordinator's gRPC server", address)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || host == "" {
		return nil, refuse("address", "given %q; accepts host:port with a port from 1 to 65535", address)
	}
	config := config{timeout: defaultTimeout, userAgent: defaultUserAgent()}
	for _, option := range options {
		option(&config)
	}
	security, err := config.security(host)
	if err != nil {
		return nil, err
	}
	retry := config.retry.withDefaults()
	calls := caller{retry: retry, timeout: config.timeout}
	dial := []grpc.DialOption{
		grpc.WithUserAgent(config.userAgent),
		grpc.WithChainUnaryInterceptor(calls.unary),
		grpc.WithChainStreamInterceptor(calls.stream),
		// Only the policy above repeats calls, whatever a name server says.
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		// A quiet watch finds out within a minute and a half that the other side is gone.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// The defaults wait up to two minutes before they look whether a restarted coordinator is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	dial = append(dial, security...)
	conn, err := grpc.NewClient(address, append(dial, config.dial...)...)
	if err != nil {
		return nil, refuse("options", "gRPC refuses them: %v", err)
	}
	return &Client{
		conn:     conn,
		retry:    retry,
		suites:   mitosisv1.NewSuiteServiceClient(conn),
		tasks:    mitosisv1.NewTaskServiceClient(conn),
		managers: mitosisv1.NewManagerServiceClient(conn),
		workers:  mitosisv1.NewWorkerServiceClient(conn),
		auth:     mitosisv1.NewAuthServiceClient(conn),
		admin:    mitosisv1.NewAdminServiceClient(conn),
	}, nil
}

// Close closes the connection; calls under way fail.
func (c *Client) Close() error { return c.conn.Close() }

// Conn returns the connection, for generated stubs of RPCs that have no method here. Calls over it carry the token, are
// repeated by the same rules and fail with a [*Error] too.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// newRequestID returns an id for one write, the same for all attempts.
func newRequestID() string { return rand.Text() }

// orNew returns the id that the caller chose, or a new one.
func orNew(requestID string) string {
	if requestID != "" {
		return requestID
	}
	return newRequestID()
}

// defaultUserAgent names this client and, in a program that depends on a release, the release.
func defaultUserAgent() string {
	const name, module = "mitosis-go", "github.com/mitosis-project/mitosis/clients/go"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range build.Deps {
			if dependency.Path == module && dependency.Replace == nil {
				return name + "/" + dependency.Version
			}
		}
	}
	return name
}

// typedStream is a stream whose errors are of type *Error, the regular end excepted.
type typedStream struct {
	grpc.ClientStream

	// ctx is the caller's: the stream's own ends with the stream, whoever ended it.
	ctx    context.Context
	method string
}

// RecvMsg receives one message.
func (s typedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil || err == io.EOF {
		return err
	}
	return asError(s.ctx, s.method, err)
}
