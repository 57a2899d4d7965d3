package mitosis

import (
	"context"
	"iter"
	"strconv"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// ManagerState says where a node manager stands.
type ManagerState string

// The states of a node manager.
const (
	// ManagerOffline never connected, said goodbye, or stayed away longer than the heartbeat timeout.
	ManagerOffline ManagerState = "Offline"
	// ManagerIdle is connected and holds no suite.
	ManagerIdle ManagerState = "Idle"
	// ManagerAssigned was given a suite and has not begun to prepare it.
	ManagerAssigned ManagerState = "Assigned"
	// ManagerPreparing runs the preparation hook.
	ManagerPreparing ManagerState = "Preparing"
	// ManagerExecuting runs tasks, or waits for more of the suite it holds.
	ManagerExecuting ManagerState = "Executing"
	// ManagerCleaning runs the cleanup hook.
	ManagerCleaning ManagerState = "Cleaning"
	// ManagerFailed failed to prepare three different suites in a row and gets none until an operator clears it.
	ManagerFailed ManagerState = "Failed"
)

// ManagerRole says what a manager may do for a group.
type ManagerRole string

// The roles of a manager.
const (
	// ManagerRoleWorker lets it run the group's suites. The default.
	ManagerRoleWorker ManagerRole = "Worker"
	// ManagerRoleAdmin lets the group's admins see and control it.
	ManagerRoleAdmin ManagerRole = "Admin"
)

var (
	managerStates = newEnum[ManagerState](mitosisv1.NodeManagerState(0).Descriptor())
	managerRoles  = newEnum[ManagerRole](mitosisv1.ManagerRole(0).Descriptor())
)

// ManagerMembership is one group that a manager belongs to.
type ManagerMembership struct {
	GroupName string
	Role      ManagerRole
}

func decodeManagerMembership(membership *mitosisv1.GroupMembership) ManagerMembership {
	return ManagerMembership{
		GroupName: membership.GetGroupName(),
		Role:      managerRoles.decode(membership.GetRole().Number()),
	}
}

// ManagerMetrics are counters since the manager's start.
type ManagerMetrics struct {
	ActiveWorkers  int
	TasksCompleted int64
	TasksFailed    int64
	// PrefetchBufferSize counts tasks held and not started.
	PrefetchBufferSize int
	WorkerRestarts     int64
	PrefetchHits       int64
	PrefetchMisses     int64
}

func decodeManagerMetrics(metrics *mitosisv1.ManagerMetrics) *ManagerMetrics {
	if metrics == nil {
		return nil
	}
	return &ManagerMetrics{
		ActiveWorkers:      int(metrics.GetActiveWorkers()),
		TasksCompleted:     metrics.GetTasksCompleted(),
		TasksFailed:        metrics.GetTasksFailed(),
		PrefetchBufferSize: int(metrics.GetPrefetchBufferSize()),
		WorkerRestarts:     metrics.GetWorkerRestarts(),
		PrefetchHits:       metrics.GetPrefetchHits(),
		PrefetchMisses:     metrics.GetPrefetchMisses(),
	}
}

// Manager is a node manager, the daemon of one machine.
type Manager struct {
	UUID        string
	Name        string
	State       ManagerState
	Tags        []string
	MaxWorkers  int
	Memberships []ManagerMembership
	// AssignedSuiteUUID is empty when it holds no suite.
	AssignedSuiteUUID string
	Metrics           *ManagerMetrics
	CreatedBy         string
	CreatedAt         time.Time
	// LastHeartbeat may be older than the truth by a heartbeat interval; zero when there was none.
	LastHeartbeat time.Time
	Version       string
	Hostname      string
	// Reason says why it is Failed.
	Reason string
	// Draining says that it was taken out of service: it gets no suite.
	Draining bool
}

func decodeManager(manager *mitosisv1.NodeManager) *Manager {
	return &Manager{
		UUID:              manager.GetUuid(),
		Name:              manager.GetName(),
		State:             managerStates.decode(manager.GetState().Number()),
		Tags:              manager.GetTags(),
		MaxWorkers:        int(manager.GetMaxWorkers()),
		Memberships:       mapped(manager.GetGroupMemberships(), decodeManagerMembership),
		AssignedSuiteUUID: manager.GetAssignedSuiteUuid(),
		Metrics:           decodeManagerMetrics(manager.GetMetrics()),
		CreatedBy:         manager.GetCreatedBy(),
		CreatedAt:         decodeTime(manager.GetCreatedAt()),
		LastHeartbeat:     decodeTime(manager.GetLastHeartbeat()),
		Version:           manager.GetVersion(),
		Hostname:          manager.GetHostname(),
		Reason:            manager.GetReason(),
		Draining:          manager.GetDraining(),
	}
}

// ManagerSpec describes a manager to be registered.
type ManagerSpec struct {
	// Name is unique.
	Name string
	Tags []string
	// Memberships are the groups it works for, at least one; the caller must be Admin of each.
	Memberships []ManagerMembership
	// MaxWorkers is what the manager's own configuration wins over. Zero: 1.
	MaxWorkers int
	// RequestID makes two calls with the same spec register one manager. The client makes one up where it is empty.
	RequestID string
}

// Registration is a registered manager and its token, which is shown this once.
type Registration struct {
	Manager        *Manager
	Token          Secret
	TokenExpiresAt time.Time
}

// RegisterManager registers a manager and gives it a token.
//
// Errors: [ErrInvalidField], [ErrNotFound] (group), [ErrAlreadyExists] (name), [ErrPermissionDenied],
// [ErrRequestIDReused].
func (c *Client) RegisterManager(ctx context.Context, spec ManagerSpec) (*Registration, error) {
	request, err := encodeManagerSpec(spec)
	if err != nil {
		return nil, err
	}
	answer, err := c.managers.RegisterManager(ctx, request)
	if err != nil {
		return nil, err
	}
	return &Registration{
		Manager:        decodeManager(answer.GetManager()),
		Token:          Secret(answer.GetToken()),
		TokenExpiresAt: decodeTime(answer.GetTokenExpiresAt()),
	}, nil
}

func encodeManagerSpec(spec ManagerSpec) (*mitosisv1.RegisterManagerRequest, error) {
	var found violations
	request := &mitosisv1.RegisterManagerRequest{
		Name:       spec.Name,
		Tags:       spec.Tags,
		MaxWorkers: givenInt(spec.MaxWorkers),
		RequestId:  orNew(spec.RequestID),
	}
	for i, membership := range spec.Memberships {
		path := "group_memberships[" + strconv.Itoa(i) + "].role"
		request.GroupMemberships = append(request.GroupMemberships, &mitosisv1.GroupMembership{
			GroupName: membership.GroupName,
			Role:      mitosisv1.ManagerRole(managerRoles.encode(&found, path, membership.Role)),
		})
	}
	return request, found.err()
}

// GetManager returns one manager.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) GetManager(ctx context.Context, uuid string) (*Manager, error) {
	answer, err := c.managers.GetManager(ctx, &mitosisv1.GetManagerRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeManager(answer.GetManager()), nil
}

// ManagerFilter selects managers: those that match all fields that are given.
type ManagerFilter struct {
	GroupName string
	State     ManagerState
	// Tags are all among the manager's.
	Tags []string
	// PageSize is the number of managers read by one call, 1 to 1000. Zero: 100.
	PageSize int
}

// ListManagers returns the managers of the caller's groups that match a filter, by name. It reads a page when the one
// before is used up. An error is the last thing that it yields.
//
// Errors: [ErrInvalidField].
func (c *Client) ListManagers(ctx context.Context, filter ManagerFilter) iter.Seq2[*Manager, error] {
	return pages(func(token string) ([]*mitosisv1.NodeManager, string, error) {
		request, err := encodeManagerFilter(filter)
		if err != nil {
			return nil, "", err
		}
		request.PageToken = token
		page, err := c.managers.ListManagers(ctx, request)
		return page.GetManagers(), page.GetNextPageToken(), err
	}, decodeManager)
}

func encodeManagerFilter(filter ManagerFilter) (*mitosisv1.ListManagersRequest, error) {
	var found violations
	request := &mitosisv1.ListManagersRequest{
		GroupName: filter.GroupName,
		State:     mitosisv1.NodeManagerState(managerStates.encode(&found, "state", filter.State)),
		Tags:      filter.Tags,
		PageSize:  givenInt(filter.PageSize),
	}
	return request, found.err()
}

// ShutdownMode says what becomes of the tasks that a manager runs when it is shut down.
type ShutdownMode int

const (
	// Graceful lets running tasks finish within the manager's grace.
	Graceful ShutdownMode = iota
	// Immediate stops running tasks and hands them back.
	Immediate
)

// ShutdownManager asks a connected manager to end, and returns it as it stands.
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Offline).
func (c *Client) ShutdownManager(ctx context.Context, uuid string, mode ShutdownMode) (*Manager, error) {
	answer, err := c.managers.ShutdownManager(ctx, &mitosisv1.ShutdownManagerRequest{
		Uuid:     uuid,
		Graceful: new(mode == Graceful),
	})
	if err != nil {
		return nil, err
	}
	return decodeManager(answer.GetManager()), nil
}

// DrainManager takes a manager out of service: it finishes what it runs, hands back the rest, and gets no suite.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) DrainManager(ctx context.Context, uuid string) (*Manager, error) {
	answer, err := c.managers.DrainManager(ctx, &mitosisv1.DrainManagerRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeManager(answer.GetManager()), nil
}

// ResumeManager puts a manager back into service.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) ResumeManager(ctx context.Context, uuid string) (*Manager, error) {
	answer, err := c.managers.ResumeManager(ctx, &mitosisv1.ResumeManagerRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeManager(answer.GetManager()), nil
}

// RevokeManagerToken ends a manager's token and its stream now, and returns the manager as it stands.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) RevokeManagerToken(ctx context.Context, uuid string) (*Manager, error) {
	answer, err := c.managers.RevokeManagerToken(ctx, &mitosisv1.RevokeManagerTokenRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeManager(answer.GetManager()), nil
}

// RenewManagerToken ends a manager's token and its stream now, and gives it a new token, which is shown this once.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) RenewManagerToken(ctx context.Context, uuid string) (*Registration, error) {
	answer, err := c.managers.RevokeManagerToken(ctx, &mitosisv1.RevokeManagerTokenRequest{Uuid: uuid, Renew: true})
	if err != nil {
		return nil, err
	}
	return &Registration{
		Manager:        decodeManager(answer.GetManager()),
		Token:          Secret(answer.GetToken()),
		TokenExpiresAt: decodeTime(answer.GetTokenExpiresAt()),
	}, nil
}
