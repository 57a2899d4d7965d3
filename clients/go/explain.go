package mitosis

import (
	"context"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// ObstacleKind says what keeps a suite or a task from running.
type ObstacleKind string

// The kinds of obstacle. A holder is a manager or an independent worker.
const (
	// ObstacleSuiteFailed means that the suite is Failed: its tasks wait for [Client.RetrySuite].
	ObstacleSuiteFailed ObstacleKind = "SuiteFailed"
	// ObstacleRetryBackOff means that the task failed and waits until it may be tried again.
	ObstacleRetryBackOff ObstacleKind = "RetryBackOff"
	// ObstacleNothingReady means that the suite has no task to hand out.
	ObstacleNothingReady ObstacleKind = "NothingReady"
	// ObstacleBufferFull means that the holder works for the suite and has not asked for more.
	ObstacleBufferFull ObstacleKind = "BufferFull"
	// ObstaclePreparing means that the manager prepares the environment.
	ObstaclePreparing ObstacleKind = "Preparing"
	// ObstacleCleaning means that the manager lets go of the suite.
	ObstacleCleaning ObstacleKind = "Cleaning"
	// ObstacleSilent means that the holder has not been heard of for a while.
	ObstacleSilent ObstacleKind = "Silent"
	// ObstacleEnoughManagers means that the suite has as many managers as pending tasks.
	ObstacleEnoughManagers ObstacleKind = "EnoughManagers"
	// ObstacleBusy means that the manager holds another suite.
	ObstacleBusy ObstacleKind = "Busy"
	// ObstacleEnvironmentBackOff means that the manager failed to prepare the suite and keeps away for a while.
	ObstacleEnvironmentBackOff ObstacleKind = "EnvironmentBackOff"
	// ObstacleExcluded means that the task killed workers of this holder too often.
	ObstacleExcluded ObstacleKind = "Excluded"
	// ObstacleQuarantined means that the manager is Failed until it restarts.
	ObstacleQuarantined ObstacleKind = "Quarantined"
	// ObstacleOffline means that the holder is not connected.
	ObstacleOffline ObstacleKind = "Offline"
	// ObstacleNotMatched means that the manager could run it, but was taken off the suite or never matched.
	ObstacleNotMatched ObstacleKind = "NotMatched"
	// ObstacleNotChosen means that only managers added by hand run the suite, and this is none of them.
	ObstacleNotChosen ObstacleKind = "NotChosen"
	// ObstacleMissingTags means that the holder lacks tags.
	ObstacleMissingTags ObstacleKind = "MissingTags"
	// ObstacleNoPermission means that the holder may not work for the group.
	ObstacleNoPermission ObstacleKind = "NoPermission"
	// ObstacleNoHolder means that there is no holder at all.
	ObstacleNoHolder ObstacleKind = "NoHolder"
	// ObstacleDraining means that the manager was taken out of service.
	ObstacleDraining ObstacleKind = "Draining"
)

var obstacleKinds = newEnum[ObstacleKind](mitosisv1.ObstacleKind(0).Descriptor())

// Obstacle is one thing that is in the way, of one holder or of all. Times that are not known are zero.
type Obstacle struct {
	Kind ObstacleKind
	// Message is the same in one sentence.
	Message string
	// ManagerUUID and ManagerName, or WorkerUUID and WorkerName, say which holder it is about. All are empty when it
	// is about the whole, or about holders that the caller may not see.
	ManagerUUID string
	ManagerName string
	WorkerUUID  string
	WorkerName  string
	// MissingTags are those that the holder lacks.
	MissingTags []string
	// GroupName is the group that the holder may not work for.
	GroupName string
	// SuiteUUIDs are the suites that the manager holds instead.
	SuiteUUIDs []string
	Since      time.Time
	Until      time.Time
	// Detail is what was written when it failed, for example the end of a hook's output.
	Detail string
	// UnseenHolders counts the holders it is about that the caller may not see.
	UnseenHolders int
}

func decodeObstacle(obstacle *mitosisv1.Obstacle) Obstacle {
	return Obstacle{
		Kind:          obstacleKinds.decode(obstacle.GetKind().Number()),
		Message:       obstacle.GetMessage(),
		ManagerUUID:   obstacle.GetManagerUuid(),
		ManagerName:   obstacle.GetManagerName(),
		WorkerUUID:    obstacle.GetWorkerUuid(),
		WorkerName:    obstacle.GetWorkerName(),
		MissingTags:   obstacle.GetMissingTags(),
		GroupName:     obstacle.GetGroupName(),
		SuiteUUIDs:    obstacle.GetSuiteUuids(),
		Since:         decodeTime(obstacle.GetSince()),
		Until:         decodeTime(obstacle.GetUntil()),
		Detail:        obstacle.GetDetail(),
		UnseenHolders: int(obstacle.GetUnseenHolders()),
	}
}

// Explanation says why a suite or a task does not run, or where it runs, or how it ended.
type Explanation struct {
	// Summary is the answer in one sentence.
	Summary string
	// Obstacles has the most decisive first, and one for each holder that cannot take it now.
	Obstacles []Obstacle
	// ExplainedAt is the moment that all of it is true of.
	ExplainedAt time.Time
	// Position is a task's place in line, 10001 for any behind the 10000th. Nil: it is not in line.
	Position *int
	// HoldersLeftOut counts the holders that are not in Obstacles because there are too many.
	HoldersLeftOut int
}

func decodeExplanation(explanation *mitosisv1.Explanation) *Explanation {
	return &Explanation{
		Summary:        explanation.GetSummary(),
		Obstacles:      mapped(explanation.GetObstacles(), decodeObstacle),
		ExplainedAt:    decodeTime(explanation.GetExplainedAt()),
		Position:       decodeOptionalInt(explanation.Position),
		HoldersLeftOut: int(explanation.GetHoldersLeftOut()),
	}
}

// ExplainSuite says why a suite does not run, or who runs it, or how it ended.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) ExplainSuite(ctx context.Context, uuid string) (*Explanation, error) {
	answer, err := c.suites.ExplainSuite(ctx, &mitosisv1.ExplainSuiteRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeExplanation(answer.GetExplanation()), nil
}

// ExplainTask says why a task does not run, or where it runs, or how it ended.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) ExplainTask(ctx context.Context, uuid string) (*Explanation, error) {
	answer, err := c.tasks.ExplainTask(ctx, &mitosisv1.ExplainTaskRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeExplanation(answer.GetExplanation()), nil
}
