package mitosis

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// fake is a coordinator whose answers a test writes.
type fake struct {
	mitosisv1.UnimplementedSuiteServiceServer
	listener *bufconn.Listener
	unary    map[string]grpc.UnaryHandler
	tasks    mitosisv1.TaskServiceServer
	watch    func(*mitosisv1.WatchSuiteRequest, grpc.ServerStreamingServer[mitosisv1.WatchSuiteResponse]) error
}

// loopback and elsewhere are addresses that the tests' dialer leads to the fake.
const (
	loopback  = "127.0.0.1:50051"
	elsewhere = "192.0.2.1:50051"
)

// quick repeats without making tests wait.
var quick = RetryPolicy{InitialBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}

func newFake(t *testing.T, transport credentials.TransportCredentials) *fake {
	t.Helper()
	f := &fake{listener: bufconn.Listen(1 << 20), unary: map[string]grpc.UnaryHandler{}}
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.UnaryInterceptor(func(
			ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
		) (any, error) {
			if handler, ok := f.unary[info.FullMethod]; ok {
				return handler(ctx, request)
			}
			return next(ctx, request)
		}),
	)
	mitosisv1.RegisterSuiteServiceServer(server, f)
	mitosisv1.RegisterTaskServiceServer(server, taskService{fake: f})
	mitosisv1.RegisterManagerServiceServer(server, mitosisv1.UnimplementedManagerServiceServer{})
	mitosisv1.RegisterWorkerServiceServer(server, mitosisv1.UnimplementedWorkerServiceServer{})
	mitosisv1.RegisterAuthServiceServer(server, mitosisv1.UnimplementedAuthServiceServer{})
	mitosisv1.RegisterAdminServiceServer(server, mitosisv1.UnimplementedAdminServiceServer{})
	go func() { _ = server.Serve(f.listener) }()
	t.Cleanup(server.Stop)
	return f
}

// on answers an RPC.
func on[Request, Answer any](f *fake, method string, answer func(context.Context, *Request) (*Answer, error)) {
	f.unary[method] = func(ctx context.Context, request any) (any, error) { return answer(ctx, request.(*Request)) }
}

func (f *fake) WatchSuite(
	request *mitosisv1.WatchSuiteRequest, stream grpc.ServerStreamingServer[mitosisv1.WatchSuiteResponse],
) error {
	return f.watch(request, stream)
}

// taskService leads streams of tasks to whom a test names.
type taskService struct {
	mitosisv1.UnimplementedTaskServiceServer
	fake *fake
}

func (s taskService) SubmitTaskStream(
	stream grpc.ClientStreamingServer[mitosisv1.SubmitTaskStreamRequest, mitosisv1.SubmitTaskStreamResponse],
) error {
	return s.fake.tasks.SubmitTaskStream(stream)
}

// dial makes every connection lead to the fake.
func (f *fake) dial() Option {
	return WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return f.listener.DialContext(ctx)
	}))
}

func (f *fake) client(t *testing.T, address string, options ...Option) *Client {
	t.Helper()
	client, err := NewClient(address, append([]Option{f.dial(), WithRetryPolicy(quick)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// pair returns a fake and a client of it.
func pair(t *testing.T, options ...Option) (*fake, *Client) {
	t.Helper()
	f := newFake(t, insecure.NewCredentials())
	return f, f.client(t, loopback, options...)
}

// failure is an error as the coordinator sends it.
func failure(code codes.Code, reason Reason, facts map[string]string, details ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: string(reason), Metadata: facts}
	sent, err := status.New(code, "the message").WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		panic(err)
	}
	return sent.Err()
}

// unavailable is what a coordinator says that goes down.
func unavailable(retryAfter time.Duration) error {
	return failure(codes.Unavailable, ErrShuttingDown, nil, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}
