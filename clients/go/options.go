package mitosis

import (
	"context"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Option changes how a [Client] reaches its coordinator.
type Option func(*config)

type config struct {
	token       TokenSource
	tls         *tls.Config
	certificate *tls.Certificate
	insecure    bool
	retry       RetryPolicy
	timeout     time.Duration
	userAgent   string
	dial        []grpc.DialOption
}

// TokenSource returns the token for one call. It may be called by many goroutines at once and should answer from memory.
// An empty token means that none is sent.
type TokenSource func(ctx context.Context) (string, error)

// WithToken sends a token with every call.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for the token before every call; for tokens that are renewed while the client lives.
func WithTokenSource(source TokenSource) Option {
	return func(c *config) { c.token = source }
}

// WithTLS encrypts the connection, also to a loopback address. With nil the system's root certificates are trusted.
func WithTLS(settings *tls.Config) Option {
	return func(c *config) {
		if settings == nil {
			settings = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		c.tls = settings
	}
}

// WithClientCertificate encrypts the connection and proves by a certificate who the client is (mTLS).
func WithClientCertificate(certificate tls.Certificate) Option {
	return func(c *config) { c.certificate = &certificate }
}

// WithInsecure speaks plain text to any address. Whoever can listen on the way sees everything, the token included.
func WithInsecure() Option {
	return func(c *config) { c.insecure = true }
}

// WithRetryPolicy replaces [DefaultRetryPolicy].
func WithRetryPolicy(policy RetryPolicy) Option {
	return func(c *config) { c.retry = policy }
}

// WithTimeout bounds each attempt of each call, watching and waiting excepted. The default is one minute; zero means no
// bound but the context's own, which always holds.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) { c.timeout = timeout }
}

// WithUserAgent names the program in the coordinator's logs; gRPC's own name follows it.
func WithUserAgent(userAgent string) Option {
	return func(c *config) { c.userAgent = userAgent }
}

// WithDialOptions passes options on to gRPC, after the client's own. Transport credentials given here cannot make the
// client send a token in plain text; only [WithInsecure] can.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

// security returns the transport and the token for a host.
func (c *config) security(host string) ([]grpc.DialOption, error) {
	encrypted := c.tls != nil || c.certificate != nil
	if encrypted && c.insecure {
		return nil, refuse("options", "given WithInsecure with TLS; accepts one of them")
	}
	plain := c.insecure || isLoopback(host) && !encrypted
	transport := insecure.NewCredentials()
	if !plain {
		settings := c.tls.Clone()
		if settings == nil {
			settings = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if c.certificate != nil {
			settings.Certificates = slices.Concat(settings.Certificates, []tls.Certificate{*c.certificate})
		}
		transport = credentials.NewTLS(settings)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if c.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer{source: c.token, plain: plain}))
	}
	return options, nil
}

// isLoopback reports whether what is sent to a host stays on this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// bearer sends the token with every call.
type bearer struct {
	source TokenSource
	plain  bool
}

// GetRequestMetadata returns the header of one call.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "no token: %v", err)
	}
	if token == "" {
		return nil, nil
	}
	// A header cannot hold other characters; that most often is the line break of a file. The message must not show it.
	if strings.ContainsFunc(token, func(char rune) bool { return char <= ' ' || char > '~' }) {
		return nil, status.Error(codes.Unauthenticated, "the token has characters that no token has, such as a line break")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity makes gRPC refuse to send the token in plain text, unless that was asked for.
func (b bearer) RequireTransportSecurity() bool { return !b.plain }

// Secret is a text that does not show itself in logs and formatted output; string(s) is the text.
type Secret string

// String returns a placeholder.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString returns a placeholder.
func (s Secret) GoString() string { return `mitosis.Secret("` + s.String() + `")` }
